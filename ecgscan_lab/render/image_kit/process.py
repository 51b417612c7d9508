"""A process of its own for ecg-image-kit: find the checkout, hand it files, and turn its failures into typed errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import ArgumentError, MissingExtraError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.types import EcgRecord

KIT_VARIABLE, PYTHON_VARIABLE = "ECGSCAN_IMAGE_KIT", "ECGSCAN_IMAGE_KIT_PYTHON"
GENERATOR = Path("codes") / "ecg-image-generator"
SCRIPTS = ("gen_ecg_image_from_data.py", "extract_leads.py", "ecg_plot.py", "config.yaml")
SHOWN_S = 10.0


def find_kit(kit: str | PathLike[str] | None) -> Path:
    """The folder of the kit's generator scripts."""
    named = os.environ.get(KIT_VARIABLE, "") if kit is None else os.fspath(kit)
    fix = f"clone ecg-image-kit and set {KIT_VARIABLE} to its folder"
    if not named:
        raise MissingExtraError("no checkout of ecg-image-kit is named", field=KIT_VARIABLE, fix=fix)
    root = Path(named).expanduser().resolve()
    if not root.is_dir():
        raise MissingExtraError("no such folder", file=root, field=KIT_VARIABLE, fix=fix)
    folder = root / GENERATOR if (root / GENERATOR).is_dir() else root
    missing = [name for name in SCRIPTS if not (folder / name).is_file()]
    if missing:
        raise MissingExtraError(
            f"this is no checkout of ecg-image-kit: {', '.join(missing)} missing",
            file=folder,
            field=KIT_VARIABLE,
            expected=f"the checkout, or its folder {GENERATOR.as_posix()}",
            fix=fix,
        )
    return folder


def find_python(python: str | PathLike[str] | None) -> str:
    named = os.environ.get(PYTHON_VARIABLE) or sys.executable
    return named if python is None else os.fspath(python)


@dataclass(frozen=True)
class KitJob:
    """One run of the kit in a folder of its own."""

    folder: Path
    kit: Path
    python: str
    dpi: int
    timeout_s: float

    def __post_init__(self) -> None:
        if isinstance(self.dpi, bool) or not isinstance(self.dpi, int) or not 20 <= self.dpi <= 1200:
            raise PageError(
                f"the kit cannot draw at {self.dpi!r} dpi", field="dpi", expected="a whole number, 20 to 1200"
            )

    def out(self, k: int) -> Path:
        """Folder that page k is written to."""
        return self.folder / f"out{k}"

    def run(self, pages: Sequence[tuple[EcgRecord, Sequence[str], int]]) -> list[dict[str, Any]]:
        """Write the records, run the kit over (record, its command line, seed), and return what it says of each."""
        job: dict[str, Any] = {"result": str(self.folder / "result.json"), "pages": []}
        for k, (record, arguments, seed) in enumerate(pages):
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
                raise ArgumentError(f"seed is {seed!r}", field="seed", expected="a whole number, 0 to 2^32 - 1")
            source = self.folder / f"in{k}"
            source.mkdir()
            self.out(k).mkdir()
            _write_record(record, source)
            files = ["-i", str(source / "page.dat"), "-hea", str(source / "page.hea"), "-o", str(self.out(k))]
            job["pages"].append({"seed": seed, "arguments": [*files, *arguments]})
        errors = self._call(json.dumps(job))
        results: list[dict[str, Any]] = json.loads(Path(job["result"]).read_text(encoding="utf-8"))
        for k, result in enumerate(results):
            if not result["drawn"] or not (self.out(k) / "page-0.png").is_file():
                raise PageError(
                    f"ecg-image-kit drew no page {k} and said nothing{errors}",
                    file=self.kit,
                    fix="give it a recording of at least 10 s with all twelve leads",
                )
        return results

    def _call(self, job: str) -> str:
        """Run the interpreter; the end of what it wrote on stderr, for messages."""
        program = Path(__file__).with_name("runner.py").read_text(encoding="utf-8")
        hidden = ("PYTHONPATH", "PYTHONHOME")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {"MPLBACKEND": "agg", "PYTHONUTF8": "1"}
        try:
            done = subprocess.run(
                [self.python, "-c", program],
                cwd=self.kit,
                input=job,
                env=environment,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PageError(
                f"ecg-image-kit did not end within {self.timeout_s:g} s",
                file=self.kit,
                field="timeout_s",
                fix="raise timeout_s, or draw fewer pages",
            ) from error
        except OSError as error:
            raise MissingExtraError(
                f"cannot start the kit's interpreter ({error.strerror})",
                file=self.python,
                field=PYTHON_VARIABLE,
                fix=f"set {PYTHON_VARIABLE} to a Python that has the kit's packages",
            ) from error
        tail = "".join(f"\n    {line}" for line in done.stderr.strip().splitlines()[-8:])
        if done.returncode == 0:
            return tail
        last = done.stderr.strip().rpartition("\n")[2]
        if last.startswith(("ModuleNotFoundError", "ImportError", "AttributeError: module 'numpy'")):
            raise MissingExtraError(
                f"{self.python} lacks what ecg-image-kit needs:{tail}",
                file=self.kit,
                field=PYTHON_VARIABLE,
                fix=f"install the kit's requirements.txt into an environment of its own and name its Python in "
                f"{PYTHON_VARIABLE}",
            )
        raise PageError(f"ecg-image-kit failed with exit status {done.returncode}:{tail}", file=self.kit)


def _write_record(record: EcgRecord, folder: Path) -> None:
    """The first 10 s as `page.hea` and `page.dat`, steps of 1 uV or as fine as 16 bits allow; no identity."""
    count = round(SHOWN_S * record.fs_hz)
    if record.signal_mv.shape[0] != len(LEADS) or record.signal_mv.shape[1] < count:
        raise PageError(
            f"ecg-image-kit draws windows of 10 s; this recording has {record.duration_s:g} s",
            field="signal_mv",
            expected="[12, time] with at least 10 s",
        )
    signal_mv = record.signal_mv[:, :count].astype(np.float64)
    finite = np.isfinite(signal_mv)
    highest = float(np.abs(signal_mv[finite]).max(initial=1e-3))
    gain = min(1000.0, 32000.0 / highest)
    digital = np.where(finite, np.rint(np.where(finite, signal_mv, 0.0) * gain), -32768).astype("<i2")
    lines = [f"page {len(LEADS)} {record.fs_hz:.10g} {count}"]
    for lead, row in zip(LEADS, digital, strict=True):
        checksum = int(row.sum(dtype=np.int64)) & 0xFFFF
        lines.append(f"page.dat 16 {gain:.10g}(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    (folder / "page.hea").write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
    (folder / "page.dat").write_bytes(digital.T.tobytes())

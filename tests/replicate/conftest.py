"""A folder in PTB-XL's own layout, small enough to train on within seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.leads import LEADS
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.recipes import recipe_for

_CODES = [
    "{'NORM': 100.0, 'SR': 0.0, 'STD_': 0.0}",
    "{'IMI': 0.0, 'NST_': 50.0, 'AFIB': 0.0}",
    "{'1AVB': 100.0, 'STD_': 0.0, 'AFIB': 0.0}",
    "{'LVH': 15.0, 'SR': 0.0, 'NST_': 0.0}",
]


def write_ptbxl(root: Path, folds: int, statements: str) -> Path:
    """Twelve records a fold, signals and tables as the publisher's."""
    cohort = synthetic_cohort(12 * folds, seed=3)
    home = root / "records100" / "00000"
    home.mkdir(parents=True)
    lines = []
    for k, record in enumerate(cohort.records):
        n = k + 1
        digital = np.rint(np.nan_to_num(record.signal_mv).T * 1000).astype("<i2")
        header = [f"{n:05d}_lr 12 100 {len(digital)}"]
        for column, lead in enumerate(LEADS):
            total = int(digital[:, column].astype(np.int64).sum()) & 0xFFFF
            checksum = total - 65536 if total > 32767 else total
            header.append(f"{n:05d}_lr.dat 16 1000.0(0)/mV 16 0 {digital[0, column]} {checksum} 0 {lead}")
        (home / f"{n:05d}_lr.hea").write_text("\n".join(header) + "\n", encoding="utf-8")
        (home / f"{n:05d}_lr.dat").write_bytes(digital.tobytes())
        name = f"00000/{n:05d}"
        lines.append(
            f'{n},{100 + k}.0,bericht {k % 4},"{_CODES[k // folds % 4]}",{k % folds + 1},'
            f"records100/{name}_lr,records500/{name}_hr"
        )
    columns = "ecg_id,patient_id,report,scp_codes,strat_fold,filename_lr,filename_hr"
    (root / "ptbxl_database.csv").write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
    (root / "scp_statements.csv").write_text(statements, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def nine_folds(tmp_path_factory, ptbxl_statements) -> Path:
    """Folds 1 to 9."""
    return write_ptbxl(tmp_path_factory.mktemp("ptbxl") / "nine", 9, ptbxl_statements)


@pytest.fixture(scope="session")
def ten_folds(tmp_path_factory, ptbxl_statements) -> Path:
    """Folds 1 to 10."""
    return write_ptbxl(tmp_path_factory.mktemp("ptbxl") / "ten", 10, ptbxl_statements)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """As small as it works."""
    return dataclasses.replace(
        recipe_for("smoke", 0), name="check", text_tower="hashed", size=(96, 224), tower_width=4, d_shared=16,
        decoder_dim=16, steps=4, teacher_steps=2, batch_size=8, teacher_batch=8, validations=2, precision="fp32",
    )  # fmt: skip


@pytest.fixture(scope="session")
def replicate(recipe) -> Callable[..., dict]:
    """`replicate_ptbxl` with little to compute."""
    from ecgscan_lab.replicate.ptbxl import Judging, replicate_ptbxl

    def run(data: Path, out: Path, **more: object) -> dict:
        options = {"recipe": recipe, "judging_options": Judging(draws=2, n_bootstrap=10, n_digitised=2), **more}
        return replicate_ptbxl(data, out, **options)

    return run

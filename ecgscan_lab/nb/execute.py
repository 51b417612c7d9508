"""Execute a notebook headlessly, strictly, in the interpreter that asks for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import ArgumentError, MissingExtraError, NotebookError
from ecgscan_lab.nb.parameters import check_parameters, declared_parameters

POLL_S = 0.2


# glibc keeps large freed blocks for later; given back at once, a training run fits a small machine. Ignored elsewhere.
_LEAN_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "8388608"}


@dataclass(frozen=True)
class ExecutedNotebook:
    """An executed notebook and what it cost.

    Attributes:
        path: the executed copy, outputs included.
        seconds: wall time from starting the kernel to stopping it.
        peak_memory_mb: highest resident memory of the kernel process, in MiB; NaN where it could not be measured.
        parameters: the values it ran with, defaults included.
    """

    path: Path
    seconds: float
    peak_memory_mb: float
    parameters: Mapping[str, Any] = field(default_factory=dict)


def run_notebook(
    notebook: str | Path,
    out_dir: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout_s: float | None = None,
    kernel_env: Mapping[str, str] | None = None,
    progress: bool = False,
) -> ExecutedNotebook:
    """Execute a local notebook with papermill and keep the executed copy in `out_dir`, also when a cell fails.

    The kernel is the running interpreter, whatever kernels are installed, in the current folder. An interrupt (Ctrl-C
    or SIGTERM) is passed on to the running cell, so that a training loop can save its checkpoint; a second one stops at
    once.

    Args:
        notebook: path of an .ipynb file.
        out_dir: folder for the executed copy, of the same name; created if need be.
        parameters: values for names that the notebook's `parameters` cell declares, of the types of its defaults.
        timeout_s: limit on the whole notebook in seconds.
        kernel_env: environment variables to add for the kernel.
        progress: draw papermill's progress bar on stderr.

    Returns:
        The executed copy, its wall time and its kernel's peak memory.

    Raises:
        NotebookError: no such file, no or two `parameters` cells, an unknown parameter or one of the wrong type, a cell
            that failed, a time limit passed, or a kernel that died; names the notebook, the cell and the error.
        ArgumentError: `out_dir` is the folder of the notebook itself, whose copy would replace it.
        MissingExtraError: papermill is not installed.
        KeyboardInterrupt: interrupted, after the running cell has ended.
    """
    source, target = Path(notebook).resolve(), Path(out_dir).resolve() / Path(notebook).name
    if source == target:
        raise ArgumentError(
            "the executed copy would replace the notebook", field="out_dir", fix="choose another folder"
        )
    node = read_notebook(source)
    declared = declared_parameters(node, source)
    given = dict(parameters or {})
    check_parameters(given, declared, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    kernel = _Kernel(deadline=None if timeout_s is None else time.monotonic() + timeout_s)
    started = time.perf_counter()
    with kernel.measured(), _interrupts_passed_to(kernel):
        _execute(node, target, given, kernel, kernel_env or {}, progress)
    return ExecutedNotebook(target, time.perf_counter() - started, kernel.peak_memory_mb, {**declared, **given})


def read_notebook(path: str | Path) -> Any:
    """Read a notebook file into a validated nbformat 4 node.

    Raises:
        NotebookError: the file is missing or is no valid notebook.
    """
    try:
        import nbformat
    except ImportError as error:
        raise _missing_extra(error) from error
    try:
        node = nbformat.read(path, as_version=4)
        nbformat.validate(node)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotebookError(f"not a readable notebook: {reason}", file=path, expected="an .ipynb file") from error
    return node


@dataclass
class _Kernel:
    """What is known about the kernel of one execution while it runs."""

    deadline: float | None
    process: Any = None
    cell_index: int = -1
    interrupted: bool = False
    peak_memory_mb: float = float("nan")

    def manager_class(self, extra_env: Mapping[str, str]) -> type:
        """A kernel manager that starts this very interpreter and remembers the process."""
        import zmq
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager

        kernel = self
        quiet = {
            "OMP_WAIT_POLICY": "PASSIVE",
            "TQDM_DISABLE": "1",
        }  # other packages' bars would litter the executed copy
        env = {**quiet, **_LEAN_MEMORY, **os.environ, "ECGSCAN_PROGRESS": "plain", **extra_env}
        if env.get("PYTHONPATH"):
            env["PYTHONPATH"] = os.pathsep.join(
                str(Path(p).resolve()) for p in env["PYTHONPATH"].split(os.pathsep) if p
            )
        # Only critical messages: the kernel would report the interrupt that is part of every orderly shutdown.
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=50"]

        class OwnInterpreter(AsyncKernelManager):
            @property
            def kernel_spec(self) -> KernelSpec:
                offer = {"supported_encryption": ["curve"]}
                return KernelSpec(argv=command, display_name="this interpreter", language="python", metadata=offer)

            async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]
                if self.has_trait("transport_encryption") and zmq.has("curve"):
                    self.transport_encryption = "auto"  # other users of the machine cannot listen in
                await super().start_kernel(**{**kwargs, "env": env})
                kernel.process = getattr(self.provisioner, "process", None)

        return OwnInterpreter

    def interrupt(self, signum: int, frame: Any) -> None:
        """First time: pass the interrupt on to the running cell. Second time: stop here and now."""
        if self.interrupted or self.process is None:
            raise KeyboardInterrupt
        self.interrupted = True
        if sys.platform == "win32":
            from jupyter_client.win_interrupt import send_interrupt

            send_interrupt(self.process.win32_interrupt_event)
        else:
            self.process.send_signal(signal.SIGINT)

    def before_cell(self, cell: Any, cell_index: int) -> None:
        """Stop between two cells when an interrupt came or the time is up."""
        self.cell_index = cell_index
        if self.interrupted:
            raise _StoppedError("interrupted")
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimeoutError

    def cell_timeout(self, cell: Any) -> float | None:
        """Seconds left for a cell."""
        return None if self.deadline is None else max(0.01, self.deadline - time.monotonic())

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Follow the peak memory of the kernel for as long as the block runs."""
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(POLL_S):
                if self.process is not None:
                    self.peak_memory_mb = max(_peak_memory_mb(self.process.pid), _or_zero(self.peak_memory_mb))

        thread = threading.Thread(target=follow, name="peak memory", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class _StoppedError(Exception):
    """Leaves the execution between two cells."""


def _execute(
    node: Any, target: Path, given: dict[str, Any], kernel: _Kernel, env: Mapping[str, str], progress: bool
) -> None:
    try:
        import papermill
        from nbclient.exceptions import CellTimeoutError, DeadKernelError
        from papermill.exceptions import PapermillExecutionError
    except ImportError as error:
        raise _missing_extra(error) from error
    place = f"cell {{}} of {target.name}"
    try:
        papermill.execute_notebook(
            node,
            str(target).replace("{", "{{").replace("}", "}}"),  # papermill fills in braces
            given,
            kernel_name="python3",
            language="python",
            progress_bar=progress,
            kernel_manager_class=kernel.manager_class(env),
            on_cell_start=kernel.before_cell,
            timeout_func=kernel.cell_timeout,
        )
    except PapermillExecutionError as error:
        if kernel.interrupted:
            raise KeyboardInterrupt from None
        raise NotebookError(
            f"{place.format(error.cell_index)} failed: {error.ename}: {error.evalue}",
            file=target,
            field=_first_line(error.source),
            fix="open this executed copy: it ends at the failed cell, with the traceback",
        ) from error
    except (CellTimeoutError, TimeoutError) as error:
        raise NotebookError(
            f"{place.format(kernel.cell_index)} was running when the time limit passed",
            file=target,
            fix="raise timeout_s",
        ) from error
    except (_StoppedError, DeadKernelError) as error:
        if kernel.interrupted:
            raise KeyboardInterrupt from None
        raise NotebookError(
            f"the kernel died in {place.format(kernel.cell_index)}",
            file=target,
            fix="most often memory ran out: choose a smaller profile, or close other programs",
        ) from error
    if kernel.interrupted:
        raise KeyboardInterrupt


@contextmanager
def _interrupts_passed_to(kernel: _Kernel) -> Iterator[None]:
    """Route SIGINT and SIGTERM to the kernel; only the main thread may do so, elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, kernel.interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _peak_memory_mb(pid: int) -> float:
    """Peak resident memory of a process in MiB; where the system keeps no peak, what it uses now; 0 when it is gone."""
    import psutil

    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass  # no /proc on this system, or the process has ended
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0.0
    return float(getattr(info, "peak_wset", info.rss)) / 2**20


def _or_zero(value: float) -> float:
    return 0.0 if value != value else value  # NaN until the first measurement


def _first_line(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip()), "")[:120]


def _missing_extra(error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f"notebooks need a package that is not installed: {error.name}", fix='pip install "ecgscan-lab[notebooks]"'
    )

"""Execute a notebook headlessly, strictly, in the interpreter that asks for it."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ecgscan_lab.errors import ArgumentError, MissingExtraError, NotebookError
from ecgscan_lab.nb.costs import end_tree, peak_memory_mb, processor_s, tree_memory_mb
from ecgscan_lab.nb.parameters import check_parameters, declared_parameters

POLL_S = 0.2
_TREE_EVERY = 5  # polls from one look at the kernel's own children to the next: it walks all processes
_LAST_WORDS_BYTES, _LAST_WORDS_LINES = 4096, 8

_running: list[_Kernel] = []  # every kernel of this interpreter, for the signal handler; appending is atomic

# glibc keeps large freed blocks for later; given back at once, a training run fits a small machine. Ignored elsewhere.
LEAN_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "8388608"}
"""What kernels are started with; `binder/start` does the same for sessions."""


@dataclass(frozen=True)
class ExecutedNotebook:
    """An executed notebook and what it cost.

    Attributes:
        path: the executed copy, outputs included.
        seconds: wall time from starting the kernel to stopping it.
        peak_memory_mb: highest resident memory of the kernel and of the processes it started, in MiB, shared pages
            counted once; NaN where it could not be measured. A child that lives for less than a second may be missed.
        parameters: the values it ran with, defaults included.
        processor_s: processor time of the kernel and of those processes in seconds, up to its last fifth of a second.
    """

    path: Path
    seconds: float
    peak_memory_mb: float
    parameters: Mapping[str, Any] = field(default_factory=dict)
    processor_s: float = float("nan")


def run_notebook(
    notebook: str | Path,
    out_dir: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout_s: float | None = None,
    max_memory_mb: float | None = None,
    kernel_env: Mapping[str, str] | None = None,
    progress: bool = False,
    on_end: Callable[[ExecutedNotebook], object] | None = None,
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
        max_memory_mb: stop the kernel, and all it started, once its peak memory (see `ExecutedNotebook`) is above
            this, in MiB. It is looked up five times a second: a rehearsal of a small machine, not a wall.
        kernel_env: environment variables to add for the kernel.
        progress: draw papermill's progress bar on stderr.
        on_end: called with the copy and its cost when the kernel has stopped, also when a cell failed.

    Returns:
        The executed copy, its wall time and its kernel's peak memory.

    Raises:
        NotebookError: no such file, no or two `parameters` cells, an unknown parameter or one of the wrong type, a cell
            that failed, a limit of time or memory passed, or a kernel that died or never started; names the notebook,
            the cell and the error.
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
    kernel = _Kernel(None if timeout_s is None else time.monotonic() + timeout_s, max_memory_mb)
    started = time.perf_counter()
    try:
        with tempfile.TemporaryFile("a+b") as kernel.stderr, interrupts_passed_on(), kernel.measured():
            _execute(node, target, given, kernel, kernel_env or {}, progress)
        if kernel.too_large:  # seen in the very last look
            raise _over_memory(kernel, target)
    finally:
        seconds, values = time.perf_counter() - started, {**declared, **given}
        executed = ExecutedNotebook(target, seconds, kernel.peak_memory_mb, values, kernel.processor_s)
        if on_end is not None:
            on_end(executed)
    return executed


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
    max_memory_mb: float | None = None
    process: Any = None
    stderr: IO[bytes] = field(init=False)  # open while the kernel runs
    heard_bytes: int = 0  # what it held when the running cell began
    thread: threading.Thread = field(default_factory=threading.current_thread)
    cell_index: int = -1
    cell_line: str = ""
    interrupted: bool = False
    peak_memory_mb: float = float("nan")
    processor_s: float = float("nan")

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
        env = {**quiet, **LEAN_MEMORY, **os.environ, "ECGSCAN_PROGRESS": "plain", **extra_env}
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
                # Not on our own stderr: a slow shutdown ends in the kernel's tracebacks, after every cell went well.
                try:
                    await super().start_kernel(**{**kwargs, "env": env, "stderr": kernel.stderr})
                except OSError as error:  # as what nbclient raises when a kernel dies at once
                    raise RuntimeError(str(error)) from error
                kernel.process = getattr(self.provisioner, "process", None)

        return OwnInterpreter

    def interrupt(self) -> None:
        """Pass an interrupt on to the running cell; a kernel that still starts stops before its first one."""
        self.interrupted = True
        if self.process is None:
            return
        if sys.platform == "win32":
            from jupyter_client.win_interrupt import send_interrupt

            send_interrupt(self.process.win32_interrupt_event)
        else:
            self.process.send_signal(signal.SIGINT)

    def before_cell(self, cell: Any, cell_index: int) -> None:
        """Stop between two cells when an interrupt came or the time is up."""
        self.cell_index, self.cell_line = cell_index, _first_line(cell.source)
        self.heard_bytes = os.fstat(self.stderr.fileno()).st_size
        if self.interrupted:
            raise _StoppedError("interrupted")
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimeoutError

    def cell_timeout(self, cell: Any) -> float | None:
        """Seconds left for a cell."""
        return None if self.deadline is None else max(0.01, self.deadline - time.monotonic())

    def last_words(self) -> str:
        """What the kernel process wrote last on stderr since the cell began, to be added to a message; or nothing."""
        size = os.fstat(self.stderr.fileno()).st_size
        self.stderr.seek(max(self.heard_bytes, size - _LAST_WORDS_BYTES))
        lines = self.stderr.read().decode(errors="replace").strip().splitlines()[-_LAST_WORDS_LINES:]
        return "".join(["; its last words:", *(f"\n    {line}" for line in lines)]) if lines else ""

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Follow the cost of the kernel, and let interrupts reach it, for as long as the block runs."""
        stop = threading.Event()

        def follow() -> None:
            polls = 0
            while not stop.wait(POLL_S):
                if self.process is not None:
                    self._measure(self.process.pid, with_children=polls % _TREE_EVERY == 0)
                    polls += 1

        thread = threading.Thread(target=follow, name="peak memory", daemon=True)
        thread.start()
        _running.append(self)
        try:
            yield
        finally:
            _running.remove(self)
            stop.set()
            thread.join()

    @property
    def too_large(self) -> bool:
        """Whether its peak memory has passed the limit."""
        return self.max_memory_mb is not None and self.peak_memory_mb > self.max_memory_mb  # NaN is not above

    def _measure(self, pid: int, with_children: bool) -> None:
        memory_mb = max(peak_memory_mb(pid), tree_memory_mb(pid) if with_children else 0.0)
        self.peak_memory_mb = max(memory_mb, _or_zero(self.peak_memory_mb))
        self.processor_s = max(processor_s(pid), _or_zero(self.processor_s))
        if self.too_large:
            end_tree(pid)


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
    from ecgscan_lab.nb.engine import ENGINE, SAVE_EVERY_S

    place = f"cell {{}} of {target.name}"
    try:
        papermill.execute_notebook(
            node,
            str(target).replace("{", "{{").replace("}", "}}"),  # papermill fills in braces
            given,
            engine_name=ENGINE,
            autosave_cell_every=SAVE_EVERY_S,
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
            field=kernel.cell_line,
            fix="raise timeout_s",
        ) from error
    except (_StoppedError, RuntimeError) as error:  # a DeadKernelError is one, and so is a kernel that never answers
        if kernel.interrupted:
            raise KeyboardInterrupt from None
        if kernel.too_large:
            raise _over_memory(kernel, target) from None
        if kernel.cell_index < 0:
            raise NotebookError(
                f"the kernel for {target.name} did not start: {error}",
                file=target,
                fix="see that `python -m ipykernel_launcher --version` works in this environment" + kernel.last_words(),
            ) from error
        if not isinstance(error, DeadKernelError):
            raise
        raise NotebookError(
            f"the kernel died in {place.format(kernel.cell_index)}",
            file=target,
            field=kernel.cell_line,
            fix="most often memory ran out: choose a smaller profile, or close other programs" + kernel.last_words(),
        ) from error
    if kernel.interrupted:
        raise KeyboardInterrupt


@contextmanager
def interrupts_passed_on() -> Iterator[None]:
    """Route SIGINT and SIGTERM to every running kernel; only the main thread may do so, elsewhere nothing changes.

    The first signal reaches the running cells. The second stops here and now: kernels that other threads drive are
    killed, and the main thread raises KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(signum: int, frame: Any) -> None:
        kernels = list(_running)
        if not kernels or any(kernel.interrupted for kernel in kernels):
            for kernel in kernels:
                if kernel.process is not None and kernel.thread is not threading.main_thread():
                    kernel.process.kill()
            raise KeyboardInterrupt
        for kernel in kernels:
            kernel.interrupt()

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _over_memory(kernel: _Kernel, target: Path) -> NotebookError:
    place = f"cell {kernel.cell_index}" if kernel.cell_index >= 0 else "the start"
    return NotebookError(
        f"{place} of {target.name} took {kernel.peak_memory_mb:.0f} MiB of memory, "
        f"{kernel.max_memory_mb:.0f} are allowed",
        file=target,
        field=kernel.cell_line or None,
        expected=f"at most {kernel.max_memory_mb:.0f} MiB",
        fix="choose a smaller profile, or raise --max-memory-mb",
    )


def _or_zero(value: float) -> float:
    return 0.0 if value != value else value  # NaN until the first measurement


def _first_line(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip()), "")[:120]


def _missing_extra(error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f"notebooks need a package that is not installed: {error.name}", fix='pip install "ecgscan-lab[notebooks]"'
    )

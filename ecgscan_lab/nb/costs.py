"""What a process and those it started cost: memory and processor time."""

from __future__ import annotations

import contextlib
from pathlib import Path


def peak_memory_mb(pid: int) -> float:
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


def tree_memory_mb(pid: int) -> float:
    """Memory that a process and all it started use now, in MiB, shared pages counted once where the system tells."""
    import psutil

    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0.0
    return sum(_share_mb(one) for one in (pid, *(child.pid for child in children))) if children else 0.0


def _share_mb(pid: int) -> float:
    """What a process adds to the memory of its tree: its proportional share, else its resident memory; 0 when gone."""
    import psutil

    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):
        pass
    try:
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except psutil.Error:
        return 0.0


def processor_s(pid: int) -> float:
    """Processor time of a process and of the ended ones it started; 0 when it is gone."""
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(sum(getattr(times, name, 0.0) for name in ("user", "system", "children_user", "children_system")))


def end_tree(pid: int) -> None:
    """Kill a process and all that it started, at once."""
    import psutil

    try:
        process = psutil.Process(pid)
        doomed = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for one in doomed:
        with contextlib.suppress(psutil.Error):
            one.kill()

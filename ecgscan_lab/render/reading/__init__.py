"""Waveforms read back from clean pages."""

from ecgscan_lab.render.reading.traces import read_page, read_trace, read_traces

__all__ = [
    "read_page",
    "read_trace",
    "read_traces",
]

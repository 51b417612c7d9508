"""Many losses, one fair table: the same starts, the same batches, paired differences with intervals.

rungs         how much is trained: `toy`, `heads`, `quick`, `full`
tables        frozen features, cached by content; the toy world
training      one loss from one seed
judge         the figures of a run
result        `Comparison`: table, differences, verdicts
log           JSON lines that gather runs over time
experiment    `compare_losses`
ablations     the objective taken apart, the towers exchanged
"""

from __future__ import annotations

from ecgscan_lab.compare.ablations import Variant, ablate, ablate_objective, ablate_towers
from ecgscan_lab.compare.experiment import compare_losses, toy_embeddings
from ecgscan_lab.compare.judge import METRICS
from ecgscan_lab.compare.log import read_comparisons
from ecgscan_lab.compare.result import Comparison, Difference, Run
from ecgscan_lab.compare.rungs import RUNGS, Rung, rung_for
from ecgscan_lab.compare.tables import toy_table

__all__ = [
    "METRICS",
    "RUNGS",
    "Comparison",
    "Difference",
    "Run",
    "Rung",
    "Variant",
    "ablate",
    "ablate_objective",
    "ablate_towers",
    "compare_losses",
    "read_comparisons",
    "rung_for",
    "toy_embeddings",
    "toy_table",
]

"""The state of a run: what `last.safetensors` holds beside the weights, so that a run goes on as if never stopped."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ecgscan_lab.batch import FrozenFeatures
from ecgscan_lab.errors import CheckpointError
from ecgscan_lab.train.building import RUN_STATE, kept_tensors, put_tensors
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint
from ecgscan_lab.train.recipe import recipe_differences, with_defaults
from ecgscan_lab.train.run_folder import BAD_BATCHES
from ecgscan_lab.whole_files import write_whole

Row = Mapping[str, float | int | str]
_OPTIMIZER, _AVERAGE = f"{RUN_STATE}optimizer/", f"{RUN_STATE}average/"
_IDENTITY = ("seed", "data_sha256", "features_sha256", "base_sha256", "precision", "loss", "d_text", "n_samples")
"""Facts beside the recipe that must be the same for a run to go on."""


@dataclass
class RunState:
    """How far a run has come.

    Attributes:
        step: steps done.
        validated: the last step after which the validation loss was measured; -1 for none.
        best_loss, best_step: the lowest validation loss of the phase, and its step.
        seconds: time spent before this process took over.
        rows: the history.
        bad: steps that were skipped because they were not finite: step, reason, positions of the records.
    """

    step: int = 0
    validated: int = -1
    best_loss: float = math.inf
    best_step: int = -1
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)


Average = dict[str, torch.Tensor]
"""Averaged weights by parameter name."""


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    average: Average | None,
    state: RunState,
    facts: Mapping[str, Any],
) -> None:
    """Write weights, optimiser, averages and history as one file, whole or not at all.

    Raises:
        CheckpointError: the disk is full or refuses; the file before it is untouched.
    """
    tensors = kept_tensors(model, facts["recipe"]["save"])
    for name, parameter in model.named_parameters():
        for part, tensor in optimizer.state.get(parameter, {}).items():
            tensors[f"{_OPTIMIZER}{name}/{part}"] = tensor
    tensors |= {f"{_AVERAGE}{name}": tensor for name, tensor in (average or {}).items()}
    run = {
        "validated": state.validated,
        "best_step": state.best_step,
        "best_loss": None if math.isinf(state.best_loss) else state.best_loss,
        "seconds": state.seconds,
        "rows": state.rows,
        "bad": state.bad,
        "scaler": None if scaler is None else scaler.state_dict(),
    }
    facts = {**facts, "step": state.step - 1, "validation_loss": run["best_loss"], "run": run}
    save_checkpoint(path, tensors, facts)


def load_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    average: Average | None,
    facts: Mapping[str, Any],
) -> RunState:
    """Put a run back to where `save_state` left it.

    Raises:
        CheckpointError: missing, damaged, without the state of a run, or of another run; every difference is named.
    """
    tensors, theirs = load_checkpoint(path)
    run = theirs.get("run")
    if run is None:
        raise CheckpointError(
            "these are weights without the state of a run",
            file=path,
            expected="last.safetensors of pretrain() of this version",
            fix="train again without resume",
        )
    refuse_other_run(path, facts, theirs)
    save = facts["recipe"]["save"]
    try:
        put_tensors(model, {k: t for k, t in tensors.items() if not k.startswith(RUN_STATE)}, save)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint does not fit the model: {error}", file=path) from error
    for name, parameter in model.named_parameters():
        start = f"{_OPTIMIZER}{name}/"
        parts = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
        if parts:
            # AdamW counts steps on the CPU, and keeps its moments where the weights are.
            optimizer.state[parameter] = {k: t if k == "step" else t.to(parameter.device) for k, t in parts.items()}
        if average is not None and name in average:
            average[name].copy_(tensors[f"{_AVERAGE}{name}"])
    if scaler is not None:
        scaler.load_state_dict(run["scaler"])
    best = math.inf if run["best_loss"] is None else run["best_loss"]
    return RunState(
        theirs["step"] + 1,
        run["validated"],
        best,
        run["best_step"],
        run["seconds"],
        list(run["rows"]),
        list(run["bad"]),
    )


def refuse_other_run(path: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuse to go on with anything but the same run.

    The number of processes matters where norms see the part of the batch that a process holds; elsewhere it changes
    rounding only, and may differ.

    Raises:
        CheckpointError: naming every difference.
    """
    here, there = ({**facts, "loss": facts.get("loss")} for facts in (ours, theirs))
    found = recipe_differences(ours["recipe"], with_defaults(theirs.get("recipe", {})))
    names = [*_IDENTITY, *(["world_size"] if ours["batch_norms"] else [])]
    for name in names:
        if here.get(name) != there.get(name):
            values = [str(facts.get(name)) for facts in (there, here)]
            short = [value[:12] + "..." if name.endswith("sha256") and len(value) > 12 else value for value in values]
            found.append(f"{name}: {short[0]} there, {short[1]} here")
    if found:
        raise CheckpointError(
            "this folder holds another run, which cannot be continued: " + "; ".join(found),
            file=path,
            field=found[0].partition(":")[0],
            expected="the recipe, seed, data and features that the run began with",
            fix="put them back, or choose another folder, or start anew (resume=False; --overwrite)",
        )


def features_sha256(frozen: FrozenFeatures) -> str:
    """Hash of the features of the frozen towers; read piece by piece, so that they may be larger than memory."""
    digest = hashlib.sha256()
    said = frozen.statements
    arrays = [frozen.signal, frozen.text, frozen.text_ids]
    arrays += [] if said is None else [said.text, said.told, said.log_odds, said.weight]
    arrays += [] if frozen.signal_summary is None else [frozen.signal_summary]
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        for start in range(0, len(array), 65_536):
            digest.update(np.ascontiguousarray(array[start : start + 65_536]).data)
    return digest.hexdigest()


def write_bad_batches(folder: Path, bad: list[dict[str, Any]]) -> None:
    """`bad_batches.jsonl`: one line a skipped step, with positions of its records and nothing about patients."""
    lines = "".join(json.dumps(entry) + "\n" for entry in bad)
    write_whole(folder / BAD_BATCHES, lines.encode(), error=CheckpointError)


def start_average(model: nn.Module) -> Average:
    """Averaged weights, which begin as the trainable weights are."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def update_average(average: Average, model: nn.Module, decay: float, step: int) -> None:
    """Move averages towards the weights, by 1 - d with d = min(decay, (1 + step) / (10 + step)): the start fades."""
    decay = min(decay, (1 + step) / (10 + step))
    for name, parameter in model.named_parameters():
        if name in average:
            average[name].lerp_(parameter, 1 - decay)


@torch.no_grad()
def exchange(average: Average | None, model: nn.Module) -> None:
    """Swap weights and averages; once more swaps them back, to the bit."""
    for name, parameter in model.named_parameters():
        if average is not None and name in average:
            kept = parameter.detach().clone()
            parameter.copy_(average[name])
            average[name].copy_(kept)

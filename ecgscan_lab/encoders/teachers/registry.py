"""The published signal teachers by name, and how to build one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from torch import nn

from ecgscan_lab.encoders.teachers import d_beta, ecg_fm, ecgfounder, melp, merl, st_mem
from ecgscan_lab.encoders.teachers.architecture import Architecture
from ecgscan_lab.encoders.teachers.preprocessing import Preprocessing
from ecgscan_lab.encoders.teachers.teacher import SignalTeacher
from ecgscan_lab.encoders.teachers.weights import check_weights, missing_weights, read_weights
from ecgscan_lab.errors import ArgumentError, CheckpointError

TEACHERS: dict[str, Architecture] = {
    part.ARCHITECTURE.name: part.ARCHITECTURE for part in (d_beta, melp, ecgfounder, ecg_fm, merl, st_mem)
}
PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}


def architecture(name: str) -> Architecture:
    """The teacher of that name.

    Raises:
        ArgumentError: there is none.
    """
    if name not in TEACHERS:
        raise ArgumentError(f"unknown signal teacher {name!r}", field="name", expected=", ".join(TEACHERS))
    return TEACHERS[name]


def signal_teacher(
    name: str,
    weights: Path | str | None = None,
    *,
    lead_order: str | None = None,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
) -> SignalTeacher:
    """A frozen signal teacher.

    Args:
        name: "d-beta", "melp", "ecgfounder", "ecg-fm", "merl" or "st-mem".
        weights: a file that `convert_teacher` wrote; None draws random weights, so that only the architecture is real.
        lead_order: "standard" (aVL before aVF) or "mimic" (aVF before aVL), the order in which the network reads the
            leads; signals themselves always come in canonical order. None takes what the file says, or the published
            order. For D-BETA the published order is uncertain: `reordered` tries the other one.
        sizes: sizes other than the published ones, for tests and for variants.
        seed: seed of random weights; the global generator stays where it was.

    Returns:
        A teacher in `eval` mode, without gradients; see `SignalTeacher` for its attributes.

    Raises:
        ArgumentError: unknown name, order or size.
        CheckpointError: no such file, a pickle, another teacher's file, or weights, sizes or preprocessing that differ
            from the published ones; the message names each.

    Example:
        >>> teacher = signal_teacher("ecg-fm", sizes={"layers": 1, "dim": 32, "feedforward": 64, "heads": 2})
        >>> teacher.fs_hz, teacher.n_samples, teacher.embed_dim, teacher.trained
        (500.0, 5000, 32, False)
    """
    design = architecture(name)
    preprocessing = design.ordered(lead_order)
    if weights is None:
        chosen = design.sized(sizes)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = design.build(chosen)
        return SignalTeacher(name, network, preprocessing, design.embed_dim(chosen), trained=False)
    path = Path(weights)
    if not path.is_file():
        raise missing_weights(name, path)
    if path.suffix.lower() in PICKLES:
        raise CheckpointError(
            "a pickle can run code while it is read, so weights of this form are converted once, and by consent",
            file=path,
            field="weights",
            expected="a safetensors file that convert_teacher wrote",
            fix=f'convert_teacher("{name}", "{path}", OUT, trust_pickle=True), if you trust the publisher',
        )
    tensors, facts, stored = read_weights(path)
    if facts["name"] != name:
        raise CheckpointError(f"these are weights of {facts['name']}", file=path, field="name", expected=name)
    chosen = design.sized(sizes)
    chosen.update({size: facts["sizes"].get(size) for size in design.as_found if size not in (sizes or ())})
    if facts["sizes"] != chosen:
        differing = sorted(size for size in chosen if facts["sizes"].get(size) != chosen[size])
        first = (differing or sorted(set(facts["sizes"]) - set(chosen)))[0]
        raise CheckpointError(
            f"the weights are of another size: {first} is {facts['sizes'].get(first)}",
            file=path,
            field=f"sizes.{first}",
            expected=str(chosen.get(first)),
        )
    check_preprocessing(stored, preprocessing, path, any_order=lead_order is None)
    network = empty_network(design, chosen)
    check_weights(tensors, network.state_dict(), path)
    network.load_state_dict(tensors, strict=True, assign=True)
    return SignalTeacher(name, network, stored, design.embed_dim(chosen), trained=True)


def empty_network(design: Architecture, sizes: Mapping[str, int]) -> nn.Module:
    """The network without memory for its weights, which a file is about to bring."""
    with torch.device("meta"):
        return design.build(sizes)


def check_preprocessing(stored: Preprocessing, wanted: Preprocessing, path: Path, *, any_order: bool) -> None:
    """Hold a file's preprocessing to what this teacher does.

    Args:
        stored: as the file has it.
        wanted: as the teacher, or the caller, wants it.
        path: the file.
        any_order: whether the file may say in which order leads are read.

    Raises:
        CheckpointError: a field differs; it is named.
    """
    for field in fields(Preprocessing):
        here, there = getattr(wanted, field.name), getattr(stored, field.name)
        if here != there and not (any_order and field.name == "lead_order"):
            raise CheckpointError(
                f"the weights were stored for another preprocessing: {field.name} is {there}",
                file=path,
                field=f"preprocessing.{field.name}",
                expected=str(here),
                fix="convert the published file again, or ask for the stored lead order",
            )

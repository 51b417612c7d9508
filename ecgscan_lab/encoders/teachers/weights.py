"""Weights of a teacher on disk: one safetensors file with its sizes, its preprocessing and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ecgscan_lab.data.manifest import load_manifest
from ecgscan_lab.encoders.teachers.preprocessing import Preprocessing
from ecgscan_lab.encoders.tensor_files import is_intact, is_ours, read_tensors, write_tensors
from ecgscan_lab.errors import ArgumentError, CheckpointError

_METADATA, VERSION = "ecgscan_lab_teacher", 1
_SHOWN = 6


def missing_weights(name: str, path: Path) -> CheckpointError:
    """The error for weights that are not there: under which licence they are, and how to come by them."""
    fields = load_manifest(name).fields
    licence, access = fields["licence"], fields["access"]
    steps = [step for step in access["steps"] if "verify" not in step] or [f"ecgscan-lab data fetch {name}"]
    call = f'convert_teacher("{name}", FILE, "{name}.safetensors", trust_pickle=True)'
    convert = f"{call} if FILE is a pickle of theirs that you trust"
    note = f" ({licence['note']})" if licence.get("note") else ""
    return CheckpointError(
        f"no weights of {name} here. They are {access['level']}, from {fields['homepage']}, "
        f"under {licence['name']}{note}; see data_manifests/{name}.json",
        file=path,
        field="weights",
        fix=" ".join(f"({i}) {step}" for i, step in enumerate([*steps, convert], start=1)),
    )


def write_weights(
    path: Path,
    name: str,
    weights: Mapping[str, torch.Tensor],
    sizes: Mapping[str, int],
    preprocessing: Preprocessing,
    provenance: Mapping[str, Any],
) -> Path:
    """Write what `read_weights` reads, whole or not at all."""
    facts = {
        "version": VERSION,
        "name": name,
        "sizes": dict(sizes),
        "preprocessing": preprocessing.as_dict(),
        "provenance": dict(provenance),
    }
    return write_tensors(path, weights, facts, _METADATA)


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], Preprocessing]:
    """Weights, facts (`name`, `sizes`, `provenance`) and preprocessing of a converted teacher.

    Raises:
        CheckpointError: damaged, of a newer version, or not written by `convert_teacher`.
    """
    tensors, metadata = read_tensors(path)
    if not is_ours(metadata, _METADATA):
        raise CheckpointError(
            "these weights were not converted: they do not say how signals must be prepared",
            file=path,
            expected="a file that convert_teacher wrote",
            fix="ecgscan_lab.encoders.teachers.convert_teacher(name, source, out)",
        )
    if not is_intact(tensors, metadata, _METADATA):
        raise CheckpointError("the weights are damaged: their hash differs", file=path, fix="convert them again")
    facts = json.loads(metadata[_METADATA])
    if facts["version"] != VERSION:
        raise CheckpointError(
            f"the weights are of version {facts['version']}", file=path, field="version", expected=str(VERSION)
        )
    try:
        preprocessing = Preprocessing.from_dict(facts["preprocessing"])
    except ArgumentError as error:
        raise CheckpointError(
            f"the stored preprocessing is not one: {error.what}", file=path, field=f"preprocessing.{error.field}"
        ) from error
    return tensors, facts, preprocessing


def check_weights(given: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], path: Path) -> None:
    """Hold weights to the names, shapes and kinds of a network.

    Raises:
        CheckpointError: one is missing, unexpected, of another shape or kind, or not finite; each is named.
    """
    shared = given.keys() & expected.keys()
    shapes = [
        f"{name} {tuple(given[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(shared)
        if given[name].shape != expected[name].shape
    ]
    kinds = [name for name in shared if given[name].is_floating_point() != expected[name].is_floating_point()]
    not_finite = [name for name in shared if not bool(torch.isfinite(given[name]).all())]
    faults: list[tuple[str, Sequence[str]]] = [
        ("missing", sorted(expected.keys() - given.keys())),
        ("unexpected", sorted(given.keys() - expected.keys())),
        ("wrong shape", shapes),
        ("wrong type", sorted(kinds)),
        ("not finite", sorted(not_finite)),
    ]
    found = [(fault, names) for fault, names in faults if names]
    if found:
        raise CheckpointError(
            "these weights do not fit the network: " + "; ".join(f"{fault}: {_some(names)}" for fault, names in found),
            file=path,
            field=found[0][1][0].split(" ")[0],
            expected=f"{len(expected)} tensors of the published names and shapes, all finite",
            fix="check that the file is the publisher's, of this model",
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

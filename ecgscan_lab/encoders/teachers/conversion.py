"""From a publisher's file to a safetensors file that says how signals must be prepared."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ecgscan_lab.data.disk import check_file
from ecgscan_lab.data.manifest import Manifest, PublishedFile, load_manifest
from ecgscan_lab.data.verify import as_recorded, read_receipt
from ecgscan_lab.encoders.teachers.architecture import Architecture
from ecgscan_lab.encoders.teachers.registry import architecture, empty_network
from ecgscan_lab.encoders.teachers.weights import check_weights, missing_weights, write_weights
from ecgscan_lab.encoders.tensor_files import read_tensors
from ecgscan_lab.errors import ArgumentError, CheckpointError


@dataclass(frozen=True)
class Converted:
    """What `convert_teacher` wrote.

    Attributes:
        path: the file for `signal_teacher`.
        parameters: how many values the network has.
        dropped: published names that were left out.
        source_sha256: digest of the publisher's file.
        listed: whether the manifest, or the receipt of the fetch beside the file, listed that digest.
    """

    path: Path
    parameters: int
    dropped: tuple[str, ...]
    source_sha256: str
    listed: bool


def convert_teacher(
    name: str,
    source: Path | str,
    out: Path | str,
    *,
    trust_pickle: bool = False,
    lead_order: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Converted:
    """Turn a publisher's weights into a file for `signal_teacher`: safetensors, with preprocessing and provenance.

    Parts that the feature does not need, such as a text side or a head, are left out by name; every other name, and
    every shape, must be the network's.

    Args:
        name: the teacher.
        source: the publisher's file, safetensors or a pickle of PyTorch.
        out: the file to write.
        trust_pickle: that you trust the publisher of a pickle. It is read with `weights_only=True`, which keeps to
            tensors and plain containers, but a hostile file has broken out of that reader before.
        lead_order: "standard" or "mimic", the order that the network is to read; None is the published one.
        sizes: sizes other than the published ones.

    Returns:
        What was written.

    Raises:
        ArgumentError: unknown name, order or size; or a pickle without `trust_pickle`.
        CheckpointError: the file is missing, unreadable, or holds other weights; `out` cannot be written.
        IntegrityError: the file is not the one that the publisher, or its fetch, lists.
    """
    design = architecture(name)
    preprocessing = design.ordered(lead_order)
    chosen = design.sized(sizes)
    source = Path(source)
    if not source.is_file():
        raise missing_weights(name, source)
    manifest = load_manifest(name)
    entry = _entry(manifest, source)
    digest = check_file(source, entry)
    weights, dropped = design.own_names(_read(design, source, trust_pickle), chosen)
    for size, (weight, axis) in design.as_found.items():
        if size not in (sizes or ()) and weight in weights and weights[weight].ndim > axis:
            chosen[size] = int(weights[weight].shape[axis])
    expected = empty_network(design, chosen).state_dict()
    check_weights(weights, expected, source)
    kept = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
    provenance: dict[str, Any] = {
        "source": source.name,
        "source_sha256": digest,
        "homepage": manifest.fields["homepage"],
        "published_version": manifest.version,
        "licence": manifest.fields["licence"]["name"],
        "dropped": len(dropped),
    }
    path = write_weights(Path(out), name, kept, chosen, preprocessing, provenance)
    n_values = sum(value.numel() for value in kept.values() if value.is_floating_point())
    return Converted(path, n_values, tuple(dropped), digest, entry.sha256 is not None)


def _entry(manifest: Manifest, source: Path) -> PublishedFile:
    """What the manifest, or the receipt of a fetch, lists about a file of that name."""
    listed = next(
        (file for file in manifest.files if Path(file.path).name == source.name), PublishedFile(source.name, "")
    )
    by_name = replace(listed, path=source.name)
    return as_recorded(by_name, read_receipt(source.parent)["recorded"])


def _read(design: Architecture, source: Path, trust_pickle: bool) -> Mapping[str, Any]:
    """The published file as a mapping."""
    if source.suffix.lower() == ".safetensors":
        return read_tensors(source)[0]
    if not trust_pickle:
        licence = load_manifest(design.name).fields["licence"]
        raise ArgumentError(
            f"{source.name} is a pickle, which can run code while it is read",
            field="trust_pickle",
            expected=f"that you trust {load_manifest(design.name).fields['homepage']} (licence: {licence['name']})",
            fix="convert_teacher(..., trust_pickle=True) reads it with weights_only=True, once",
        )
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"cannot read {source.name} as plain tensors: {reason[0]}",
            file=source,
            field="source",
            expected="tensors, numbers, text and containers of them, nothing else",
            fix="copy it again; if it is whole, ask the publisher for safetensors",
        ) from error
    if not isinstance(loaded, Mapping):
        raise CheckpointError(
            f"{source.name} holds a {type(loaded).__name__}", file=source, field="source", expected="weights by name"
        )
    return loaded

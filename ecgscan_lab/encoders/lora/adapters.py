"""LoRA on a frozen tower: targets found by what a module is, counted, and shown to learn before training starts."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ecgscan_lab.encoders.hub import TOWERS_EXTRA
from ecgscan_lab.encoders.lora.targets import resolve_targets
from ecgscan_lab.errors import ArgumentError, MissingExtraError

FUSED = "fused attention"
_ADAPTER = "default"


@dataclass(frozen=True)
class LoraReport:
    """What `add_lora` adapted.

    Attributes:
        rank, alpha, dropout: of every adapter; its update is scaled by alpha / rank.
        targets: full names of the adapted modules.
        n_modules: their number.
        n_parameters: trainable numbers in the adapters.
        by_kind: (kind, modules, parameters), for instance ("q_proj", 24, 786432).
    """

    rank: int
    alpha: int
    dropout: float
    targets: tuple[str, ...]
    n_modules: int
    n_parameters: int
    by_kind: tuple[tuple[str, int, int], ...]

    def __str__(self) -> str:
        kinds = ", ".join(f"{n} x {kind}" for kind, n, _ in self.by_kind)
        return f"LoRA of rank {self.rank}, alpha {self.alpha}: {kinds}; {self.n_parameters:,} trainable parameters"


def add_lora(
    module: nn.Module,
    *,
    rank: int = 16,
    alpha: int = 32,
    targets: str | Sequence[str] = "attention",
    dropout: float = 0.0,
    probe: Callable[[nn.Module], torch.Tensor] | None = None,
) -> LoraReport:
    """Freeze a tower and add low-rank adapters to it in place, through peft.

    W x becomes W x + (alpha / rank) B A x, with A `[rank, in]` random and B `[out, rank]` zero: nothing changes until
    training does.

    Source: Hu et al. (2021), arXiv 2106.09685; rank 16 and alpha 32 as in ECG-Scan (2026), arXiv 2604.01526, which
    leaves the target modules open.

    Every adapter must be able to learn: a copy of the tower without values is run once, and an adapter that no gradient
    would reach is an error. One that targets `out_proj` inside PyTorch's fused attention is such a case, and `qkv` in
    timm's BEiT and EVA another: their forward is never called, so the adapter would train nothing, silently.

    Args:
        module: an image tower, or any module; all its parameters are frozen.
        rank: of the update.
        alpha: scale; the update is multiplied by alpha / rank.
        targets: "attention" (query, key, value and output of every block), "attention+mlp", or names of modules: a full
            name, or the end of one ("q_proj", "mlp.fc1"). A fused attention counts as one target that adapts its input
            and its output. Where blocks have separate layers, a fused pooling head is left alone.
        dropout: on the adapters' input while training; fused attention cannot have it.
        probe: runs a module that is not an image tower and returns a tensor; without it the adapters of such a module
            are checked by where they stand only.

    Returns:
        The report, which prints as one line.

    Raises:
        ArgumentError: a target that adapts nothing or cannot learn; dropout on fused attention; adapters already there.
        MissingExtraError: peft is not installed.

    Properties: features are unchanged right after; nothing but adapters is trainable; parameters as counted by hand.
    """
    if rank < 1 or alpha <= 0 or not 0 <= dropout < 1:
        field = "rank" if rank < 1 else "alpha" if alpha <= 0 else "dropout"
        raise ArgumentError(
            f"cannot adapt with rank {rank}, alpha {alpha} and dropout {dropout}",
            field=field,
            expected="rank >= 1, alpha > 0, 0 <= dropout < 1",
        )
    if has_adapters(module):
        raise ArgumentError(
            "the module has adapters already", field="module", fix="merge_lora(module, keep=False) first"
        )
    names = resolve_targets(module, targets)
    if dropout > 0 and any(isinstance(module.get_submodule(name), nn.MultiheadAttention) for name in names):
        raise ArgumentError(
            "fused attention would ignore the dropout",
            field="dropout",
            expected="0",
            fix="use the transformers tower of the same weights, whose layers are separate",
        )
    if probe is None and hasattr(module, "size"):
        probe = _run_on_page
    if probe is not None:
        ghost = _without_values(module)
        _inject(ghost, names, rank, alpha, dropout)
        _check_gradients(ghost, probe)
    _inject(module, names, rank, alpha, dropout)
    return lora_report(module)


def lora_report(module: nn.Module) -> LoraReport:
    """Count the adapters that a module has.

    Raises:
        ArgumentError: it has none.
    """
    layers = list(adapted_layers(module))
    if not layers:
        raise ArgumentError("the module has no adapters", field="module", fix="add_lora(module) first")
    modules, parameters = Counter[str](), Counter[str]()
    for name, layer in layers:
        kind = FUSED if isinstance(layer.get_base_layer(), nn.MultiheadAttention) else name.rpartition(".")[2]
        modules[kind] += 1
        parameters[kind] += sum(p.numel() for key, p in layer.named_parameters() if ".lora_" in f".{key}")
    first = layers[0][1]
    return LoraReport(
        rank=int(first.r[_ADAPTER]),
        alpha=int(first.lora_alpha[_ADAPTER]),
        dropout=float(getattr(first.lora_dropout[_ADAPTER], "p", 0.0)),
        targets=tuple(name for name, _ in layers),
        n_modules=len(layers),
        n_parameters=sum(parameters.values()),
        by_kind=tuple((kind, n, parameters[kind]) for kind, n in modules.items()),
    )


def merge_lora(module: nn.Module, *, keep: bool = True) -> None:
    """Add the updates to the frozen weights: the same features without the adapters' cost.

    Args:
        module: with adapters.
        keep: leave the adapters in place, so that `unmerge_lora` can take the updates out again; without, the plain
            layers come back and the module has the published names and shapes once more.

    Raises:
        ArgumentError: no adapters.

    Properties: features agree to float tolerance; merging twice changes nothing. While fused attention is merged and
    kept, peft holds its weight outside the module's parameters: unmerge before you move or save the module.
    """
    lora_report(module)
    for name, layer in list(adapted_layers(module)):
        if not layer.merged:
            layer.merge()
        if keep:
            continue
        if isinstance(layer.get_base_layer(), nn.MultiheadAttention):
            plain = layer.unload_and_optionally_merge_module(merge=False, safe_merge=False, adapter_names=None)
        else:
            plain = layer.get_base_layer()
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, plain)
    if not keep and hasattr(module, "peft_config"):
        del module.peft_config


def unmerge_lora(module: nn.Module) -> None:
    """Take merged updates out of the weights again, to float tolerance; they train on from there.

    Raises:
        ArgumentError: no adapters.
    """
    lora_report(module)
    for _, layer in adapted_layers(module):
        if layer.merged:
            layer.unmerge()


def has_adapters(module: nn.Module) -> bool:
    """Whether `add_lora` was here."""
    return any(True for _ in adapted_layers(module))


def adapted_layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Every adapted module with its name; the output layer inside an adapted fused attention counts as part of it."""
    outer = "\0"
    for name, layer in module.named_modules():
        if isinstance(getattr(layer, "lora_A", None), nn.ModuleDict) and not name.startswith(outer):
            outer = f"{name}." if name else "\0"
            yield name, layer


def _inject(module: nn.Module, names: Sequence[str], rank: int, alpha: int, dropout: float) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("peft is not installed", field="module", fix=TOWERS_EXTRA) from error
    exactly = "|".join(re.escape(name) for name in names)  # a list would be matched by the ends of names
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, bias="none", target_modules=exactly)
    inject_adapter_in_model(config, module, adapter_name=_ADAPTER)  # freezes all that is no adapter


def _without_values(module: nn.Module) -> nn.Module:
    """A copy with shapes and no values: it costs neither memory nor arithmetic, and autograd still sees its graph."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(module, memo).eval()


def _run_on_page(tower: nn.Module) -> torch.Tensor:
    return tower(torch.empty(1, 3, *tower.size, dtype=torch.uint8, device="meta"))  # type: ignore[misc]


def _check_gradients(module: nn.Module, probe: Callable[[nn.Module], torch.Tensor]) -> None:
    adapters = {name: parameter for name, parameter in module.named_parameters() if ".lora_" in name}
    with torch.enable_grad():
        seen = probe(module)
        gradients = torch.autograd.grad(seen.sum(), list(adapters.values()), allow_unused=True)
    useless = [name for (name, _), gradient in zip(adapters.items(), gradients, strict=True) if gradient is None]
    if useless:
        kinds = {name: name.partition(".lora_")[0].rpartition(".")[2] for name in adapters}
        learn = sorted(set(kinds.values()) - {kinds[name] for name in useless})
        raise ArgumentError(
            f"{len(useless)} of {len(adapters)} adapter weights would never receive a gradient, first {useless[0]}",
            field="targets",
            expected="modules that the forward pass runs",
            fix=f"name only those that learn: {', '.join(learn) or 'none of these'}; a layer whose weight is read past "
            "its forward, as some libraries do, cannot be adapted",
        )

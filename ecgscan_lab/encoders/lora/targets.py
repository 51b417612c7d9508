"""Which modules LoRA adapts, found by what they are rather than by what one library calls them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ecgscan_lab.errors import ArgumentError

# The linear layers that make an attention, or an MLP, in transformers, timm and open_clip: all of one row, or none.
_ATTENTION = (
    ("q_proj", "k_proj", "v_proj", "out_proj"),
    ("q_proj", "k_proj", "v_proj", "o_proj"),
    ("query", "key", "value"),
    ("qkv", "proj"),
)
_MLP = (("fc1", "fc2"), ("c_fc", "c_proj"))


def resolve_targets(module: nn.Module, targets: str | Sequence[str]) -> list[str]:
    """Full names of the modules to adapt, in the module's own order.

    Args and errors as in `adapters.add_lora`.
    """
    if isinstance(targets, str) and targets in ("attention", "attention+mlp"):
        names = _attention_names(module)
        if targets == "attention+mlp":
            names |= _linear_groups(module, _MLP)
        if not names:
            raise ArgumentError(
                "the module has no attention to adapt",
                field="targets",
                fix="name its layers, or adapt a transformer",
            )
    else:
        names = set()
        for target in [targets] if isinstance(targets, str) else targets:
            names |= _named(module, target)
        if not names:
            raise ArgumentError("no target is named", field="targets", expected='"attention", "attention+mlp" or names')
    return [name for name, _ in module.named_modules() if name in names]


def _attention_names(module: nn.Module) -> set[str]:
    separate = _linear_groups(module, _ATTENTION)
    if separate:
        return separate
    return {name for name, part in module.named_modules() if isinstance(part, nn.MultiheadAttention)}


def _linear_groups(module: nn.Module, groups: Sequence[tuple[str, ...]]) -> set[str]:
    names = set()
    for name, part in module.named_modules():
        for group in groups:
            if all(isinstance(getattr(part, child, None), nn.Linear) for child in group):
                names |= {f"{name}.{child}" if name else child for child in group}
                break
    return names


def _named(module: nn.Module, target: str) -> set[str]:
    """The modules that one name means; an error when one of them cannot be adapted."""
    every = {name for name, _ in module.named_modules() if name}
    found = {target} & every or {name for name in every if name.endswith(f".{target}")}
    if not found:
        raise ArgumentError(
            f"the target {target!r} adapts nothing: no module is called so",
            field="targets",
            expected="the end of a module's name, for instance "
            + ", ".join(sorted({name.rpartition(".")[2] for name in _attention_names(module)}) or ["none here"]),
        )
    for name in sorted(found):
        parent = module.get_submodule(name.rpartition(".")[0])
        if isinstance(parent, nn.MultiheadAttention):
            raise ArgumentError(
                f"{name} lies inside fused attention, which never calls it: an adapter there would train nothing",
                field="targets",
                expected=f"the attention itself: {name.rpartition('.')[0].rpartition('.')[2]!r}",
                fix='targets="attention", or a longer name that means other layers only',
            )
        if not isinstance(module.get_submodule(name), (nn.Linear, nn.Conv2d, nn.MultiheadAttention)):
            raise ArgumentError(
                f"{name} is a {type(module.get_submodule(name)).__name__}, which holds no weight to adapt by itself",
                field="targets",
                expected="linear layers, convolutions or fused attention",
            )
    return found

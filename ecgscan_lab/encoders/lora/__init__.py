"""LoRA: low-rank adapters on a frozen tower, added, merged, and saved alone."""

from ecgscan_lab.encoders.lora.adapters import (
    FUSED,
    LoraReport,
    adapted_layers,
    add_lora,
    has_adapters,
    lora_report,
    merge_lora,
    unmerge_lora,
)
from ecgscan_lab.encoders.lora.files import adapter_state, load_adapters, save_adapters
from ecgscan_lab.encoders.lora.targets import resolve_targets

__all__ = [
    "FUSED",
    "LoraReport",
    "adapted_layers",
    "adapter_state",
    "add_lora",
    "has_adapters",
    "load_adapters",
    "lora_report",
    "merge_lora",
    "resolve_targets",
    "save_adapters",
    "unmerge_lora",
]

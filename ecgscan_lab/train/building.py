"""From a recipe to a model, and from a checkpoint back to one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.errors import ArgumentError, CheckpointError
from ecgscan_lab.train.checkpoint import load_checkpoint
from ecgscan_lab.train.recipe import Recipe

RUN_STATE = "run/"
"""Tensors of this prefix belong to the run, not to the model."""


def build_model(recipe: Recipe, d_text: int, n_samples: int, seed: int, d_summary: int | None = None) -> EcgScanModel:
    """The model of a recipe; what no file gives is drawn from `seed`.

    Args:
        recipe: names the towers and sizes.
        d_text: size of the text features.
        n_samples: samples of a lead.
        seed: of the fresh weights.
        d_summary: size of the teacher's summary of the signal, which the model then predicts; None predicts none.

    Raises:
        ArgumentError: choices that do not go together; CheckpointError, FetchError, LicenceError: see `image_tower`.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.default_generator.manual_seed(seed)
        tiny = recipe.image_tower == "tiny"
        tower = image_tower(
            recipe.image_tower,
            size=recipe.size if tiny and recipe.tower_size is None else recipe.tower_size,
            fit=recipe.fit,
            weights=recipe.image_weights,
            width=recipe.tower_width,
        )
        if recipe.tower_trains == "lora":
            from ecgscan_lab.encoders.lora import add_lora

            add_lora(
                tower,
                rank=recipe.lora_rank,
                alpha=recipe.lora_alpha,
                targets=recipe.lora_targets,
                dropout=recipe.lora_dropout,
            )
        elif recipe.tower_trains == "frozen":
            tower.requires_grad_(False)
        if recipe.checkpointing and not tiny:
            tower.set_gradient_checkpointing(True)
        decoder = QueryDecoder(
            n_samples,
            recipe.decoder_dim,
            recipe.decoder_layers,
            recipe.decoder_heads,
            recipe.mask_share,
            independent_leads=recipe.independent_leads,
            samples_per_query=recipe.samples_per_query,
            feedforward=recipe.decoder_feedforward,
            activation=recipe.decoder_activation,
            norm=recipe.decoder_norm,
            token_dim=tower.token_dim if recipe.cross_attention else None,
            column_dim=_column_dim(tower) if recipe.column_queries else None,
            column_span=_column_span(recipe) if recipe.align_columns else None,
            checkpointing=recipe.checkpointing,
        )
        return EcgScanModel(
            tower,
            decoder,
            d_text=d_text,
            d_shared=recipe.d_shared,
            logit_scale_init=recipe.logit_scale_init,
            logit_scale_limits=recipe.logit_scale_limits,
            share_logit_scale=recipe.share_logit_scale,
            project=recipe.project,
            statement_logit_scale_init=recipe.statement_logit_scale_init if recipe.weights.w_statement > 0 else None,
            d_summary=d_summary,
        )


def kept_tensors(model: nn.Module, save: str) -> dict[str, torch.Tensor]:
    """What a checkpoint of the model holds: all of it, or without the frozen weights."""
    frozen = _frozen_names(model) if save == "trainable" else set()
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def base_sha256(model: nn.Module) -> str:
    """Hash of the frozen weights, which a checkpoint of trainable weights names in place of holding them."""
    digest, frozen = hashlib.sha256(), _frozen_names(model)
    for name, tensor in sorted(model.state_dict().items()):
        if name in frozen:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def put_tensors(model: nn.Module, tensors: dict[str, torch.Tensor], save: str) -> None:
    """Put back what `kept_tensors` gave: every tensor, and no other.

    Raises:
        ValueError: tensors are missing or left over; RuntimeError: their shapes differ.
    """
    wanted = kept_tensors(model, save).keys()
    if wanted != tensors.keys():
        odd = sorted(wanted ^ tensors.keys())
        raise ValueError(f"{len(odd)} weights missing or left over, first {odd[0]}")
    model.load_state_dict(tensors, strict=False)


def load_model(path: Path | str, *, image_weights: str | None = None) -> tuple[EcgScanModel, dict[str, Any]]:
    """Rebuild a model from a checkpoint of `pretrain`.

    Args:
        path: `best.safetensors` or `last.safetensors` of a run.
        image_weights: where the frozen tower's published weights lie now, when the checkpoint holds trainable weights
            only and its recipe names a place that this machine does not have.

    Returns:
        The model in `eval` mode, and the checkpoint's metadata (recipe, seed, step, data hash).

    Raises:
        CheckpointError: missing, damaged, or not of this model; or the frozen weights are not those it was trained on.
    """
    tensors, facts = load_checkpoint(path)
    try:
        recipe = Recipe.from_dict(facts["recipe"])
        names = facts["recipe"] if image_weights is None else {**facts["recipe"], "image_weights": image_weights}
        whole = recipe.save == "all"
        # Weights that are overwritten need not be fetched.
        built = Recipe.from_dict({**names, "image_weights": None} if whole else names)
        model = build_model(built, facts["d_text"], facts["n_samples"], facts["seed"], facts.get("d_summary"))
        put_tensors(model, {k: t for k, t in tensors.items() if not k.startswith(RUN_STATE)}, recipe.save)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint does not fit the model: {error}",
            file=path,
            expected="a checkpoint written by pretrain() of this version",
        ) from error
    if not whole and base_sha256(model) != facts["base_sha256"]:
        raise CheckpointError(
            "the frozen weights are not those that this checkpoint was trained on",
            file=path,
            field="image_weights",
            expected=f"weights of {recipe.image_tower} with hash {facts['base_sha256'][:16]}...",
            fix="name them: load_model(path, image_weights=...)",
        )
    facts = {name: value for name, value in facts.items() if name != "run"}
    return model.eval(), facts


def _column_span(recipe: Recipe) -> tuple[float, float]:
    """Where the traces begin and end on the recipe's own page, in shares of its width."""
    page = recipe.plan().spec
    return page.left_mm / page.width_mm, page.right_mm / page.width_mm


def _column_dim(tower: nn.Module) -> int:
    """Size of the columns of the tower's fine map.

    Raises:
        ArgumentError: it gives none.
    """
    size = getattr(tower, "column_dim", None)
    if size is None:
        raise ArgumentError(
            "this image tower gives no columns of a fine map",
            field="column_queries",
            expected="False, or the tiny tower",
            fix="cross_attention=True reads its patch tokens",
        )
    return int(size)


def _frozen_names(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}

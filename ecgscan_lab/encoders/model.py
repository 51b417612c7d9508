"""The trainable half of ECG-Scan: image tower, projections, decoder and the temperatures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import Features, TripleBatch


def projection(d_in: int, d_out: int, kind: str = "tanh") -> nn.Sequential:
    """Into the shared space (Proj_ctr, Proj_rec, Proj_txt): linear then tanh, as in the paper, or "linear" alone.

    A tanh saturates where features are large, and no direction of the shared space can then be pronounced:
    statements are learned slower with it (`docs/lab-log.md`).
    """
    linear = nn.Linear(d_in, d_out)
    return nn.Sequential(linear) if kind == "linear" else nn.Sequential(linear, nn.Tanh())


class EcgScanModel(nn.Module):
    """From a batch of triples to what the objective sees.

    z_img = tower(page);  image = Proj_ctr(z_img);  text = Proj_txt(z_txt);  signal = z_sig (frozen, as given);
    reconstruction = decoder(Proj_rec(z_img)).
    A linear layer may also predict the teacher's summary of the signal from z_img, for `losses.distillation`.

    A tower of which nothing is trained runs without gradients and stays in `eval` mode; so do the norms of a tower of
    which only adapters are trained, because their running statistics would drift.

    Source: ECG-Scan (2026), arXiv 2604.01526, sections 4.1-4.3 and appendix A.1. *Differences*: the two temperatures
    are separate, unless shared by request, and learned as exp(s), clamped to [1, 100], because cosines range over 2 and
    volumes over 1. A third one, for statements, is ours: a smoothed contrast wants a low one, and a yes-or-no question
    cannot be answered with confidence at it.

    Args:
        tower: image tower: uint8 pages in, `[batch, embed_dim]` out (`types.ImageTower`). Where the decoder reads
            tokens it has `token_dim` and `tokens(images)`, or, both in one pass, `encode(images)`; where it reads
            columns, `column_dim` and `encode_columns(images)`. With a `summary_dim` only so many numbers of its
            feature, the first ones, are projected.
        decoder: from Proj_rec(z_img) to the signal; None leaves the reconstruction out.
        d_text: size of the text features.
        d_shared: size of the shared space; must equal the signal teacher's.
        logit_scale_init: where both temperatures start.
        logit_scale_limits: lowest and highest value that a temperature takes.
        share_logit_scale: one temperature for cosines and volumes, as the paper may have had.
        statement_logit_scale_init: where the temperature of statements starts; None leaves it out.
        project: how features enter the shared space, see `projection`.
        d_summary: size of the teacher's summary of the signal; None predicts none.

    Raises:
        ArgumentError: the decoder's tokens or columns are not the tower's, or the temperatures' limits exclude their
            start.
    """

    def __init__(
        self,
        tower: nn.Module,
        decoder: QueryDecoder | None,
        *,
        d_text: int,
        d_shared: int,
        logit_scale_init: float = 1 / 0.07,
        logit_scale_limits: tuple[float, float] = (1.0, 100.0),
        share_logit_scale: bool = False,
        statement_logit_scale_init: float | None = None,
        project: str = "tanh",
        d_summary: int | None = None,
    ) -> None:
        super().__init__()
        starts = {"logit_scale_init": logit_scale_init, "statement_logit_scale_init": statement_logit_scale_init}
        _check(tower, decoder, starts, logit_scale_limits)
        self.tower = tower
        self.d_projected: int = getattr(tower, "summary_dim", tower.embed_dim)  # type: ignore[arg-type]
        self.project_contrastive = projection(self.d_projected, d_shared, project)
        self.project_text = projection(d_text, d_shared, project)
        self.project_reconstruction = None if decoder is None else projection(self.d_projected, decoder.dim, project)
        self.decoder = decoder
        self.predict_summary = None if d_summary is None else nn.Linear(self.d_projected, d_summary)
        self.logit_scale_limits = logit_scale_limits
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale_init)))
        self.log_gram_logit_scale = (
            None if share_logit_scale else nn.Parameter(torch.tensor(math.log(logit_scale_init)))
        )
        self.log_statement_logit_scale = (
            None
            if statement_logit_scale_init is None
            else nn.Parameter(torch.tensor(math.log(statement_logit_scale_init)))
        )

    def forward(
        self, batch: TripleBatch, generator: torch.Generator | None = None, masked: torch.Tensor | None = None
    ) -> Features:
        """Embed a batch.

        Args:
            batch: pages, signals and frozen features.
            generator: draws the decoder's query mask (training only).
            masked: the mask itself, in place of the draw, bool `[batch, query]` (`encoders.decoder.query_mask`).
        """
        z_img, tokens, columns = self._see(batch.images)
        scale = self._scale(self.log_logit_scale)
        return Features(
            image=self.project_contrastive(z_img).float(),
            text=self.project_text(batch.text_features).float(),
            signal=batch.signal_features,
            reconstruction_mv=None if self.decoder is None else self._decode(z_img, tokens, columns, generator, masked),
            signal_mv=batch.signals_mv,
            logit_scale=scale,
            gram_logit_scale=scale if self.log_gram_logit_scale is None else self._scale(self.log_gram_logit_scale),
            signal_summary=batch.signal_summary,
            predicted_summary=None if self.predict_summary is None else self.predict_summary(z_img).float(),
        )

    def statement_logit_scale(self) -> torch.Tensor:
        """The temperature of statements; that of the contrast where they have none of their own."""
        own = self.log_statement_logit_scale
        return self._scale(self.log_logit_scale if own is None else own)

    def image_embeddings(self, images: torch.Tensor) -> torch.Tensor:
        """Pages -> `[batch, d_shared]` in the space shared with texts and signals, for zero-shot and retrieval."""
        return self.project_contrastive(self._pool(images)).float()

    def project_images(self, tower_features: np.ndarray) -> np.ndarray:
        """float32 `[page, embed_dim]` of the tower -> `[page, d_shared]`: `image_embeddings` of pages seen before."""
        with torch.no_grad():
            kept = np.asarray(tower_features, dtype=np.float32)[:, : self.d_projected]
            features = torch.tensor(kept, device=self.log_logit_scale.device)
            return self.project_contrastive(features).float().cpu().numpy()

    def project_texts(self, text_features: np.ndarray) -> np.ndarray:
        """float32 `[text, d_text]` of the text tower -> `[text, d_shared]` in the shared space."""
        with torch.no_grad():
            features = torch.from_numpy(text_features).to(self.log_logit_scale.device)
            return self.project_text(features).float().cpu().numpy()

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Pages -> `[batch, 12, n_samples]` in mV, nothing masked.

        Raises:
            ArgumentError: the model has no decoder.
        """
        if self.decoder is None:
            raise ArgumentError(
                "this model has no decoder", field="decoder", fix="train one whose loss holds the reconstruction"
            )
        return self._decode(*self._see(images))

    def train(self, mode: bool = True) -> EcgScanModel:
        """Set the mode, but keep in `eval` what is not trained of the tower (see the class)."""
        super().train(mode)
        if not _trains(self.tower):
            self.tower.eval()
        for module in self.tower.modules():
            own = list(module.parameters(recurse=False))
            if own and hasattr(module, "running_mean") and not any(weight.requires_grad for weight in own):
                module.training = False
        return self

    def set_gradient_checkpointing(self, on: bool = True) -> None:
        """Recompute the layers of tower and decoder in the backward pass: less memory, about a third more time.

        A tower that is not trained keeps nothing anyway and is left as it is.

        Raises:
            ArgumentError: a tower that is trained does not offer it.
        """
        if self.decoder is not None:
            self.decoder.checkpointing = on
        if _trains(self.tower):
            if not hasattr(self.tower, "set_gradient_checkpointing"):
                raise ArgumentError("this tower does not recompute its layers", field="on", fix="leave it off")
            self.tower.set_gradient_checkpointing(on)  # type: ignore[operator]

    @torch.no_grad()
    def limit_logit_scales(self) -> None:
        """Bring temperatures that left their limits back to them.

        To be called after every step of the optimiser: beyond a limit the gradient is zero, so that a temperature that
        stepped over it would stay there for good; on the limit it can still come back.
        """
        low, high = self._log_limits()
        for scale in (self.log_logit_scale, self.log_gram_logit_scale, self.log_statement_logit_scale):
            if scale is not None:
                scale.clamp_(low, high)

    def _scale(self, log_scale: torch.Tensor) -> torch.Tensor:
        low, high = self._log_limits()
        limited = log_scale.detach().clamp(low, high)
        # Not plainly the clamped one: clamp gives no gradient on a limit, where a temperature must be able to turn.
        return torch.where(limited == log_scale, log_scale, limited).exp()

    def _log_limits(self) -> tuple[float, float]:
        """Rounded as the weights are, or a temperature on a limit would lie beyond it by the rounding."""
        low, high = (float(np.float32(math.log(limit))) for limit in self.logit_scale_limits)
        return low, high

    def _pool(self, images: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trains(self.tower)):
            return self.tower(images)[:, : self.d_projected]

    def _see(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """What the projections read of the pooled feature, and tokens and columns where the decoder reads them."""
        reads_tokens = self.decoder is not None and self.decoder.token_dim is not None
        reads_columns = self.decoder is not None and self.decoder.column_dim is not None
        if not (reads_tokens or reads_columns):
            return self._pool(images), None, None
        tower: Any = self.tower
        columns = None
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trains(tower)):
            if reads_columns:
                pooled, tokens, columns = tower.encode_columns(images)
            elif hasattr(tower, "encode"):
                pooled, tokens = tower.encode(images)
            else:
                pooled, tokens = tower(images), tower.tokens(images)
        return pooled[:, : self.d_projected], tokens if reads_tokens else None, columns

    def _decode(
        self,
        z_img: torch.Tensor,
        tokens: torch.Tensor | None,
        columns: torch.Tensor | None,
        generator: torch.Generator | None = None,
        masked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        assert self.decoder is not None
        assert self.project_reconstruction is not None
        return self.decoder(self.project_reconstruction(z_img), generator, tokens, masked, columns)


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _check(
    tower: nn.Module, decoder: QueryDecoder | None, starts: Mapping[str, float | None], limits: tuple[float, float]
) -> None:
    for field, start in starts.items():
        if start is None or 0 < limits[0] <= start <= limits[1]:
            continue
        raise ArgumentError(
            f"a temperature cannot start at {start:g} within {limits[0]:g} to {limits[1]:g}",
            field=field,
            expected="0 < lowest <= start <= highest",
        )
    for what, method in (("token", "tokens"), ("column", "encode_columns")):
        wanted = None if decoder is None else getattr(decoder, f"{what}_dim")
        given = getattr(tower, f"{what}_dim", None)
        if wanted is not None and (given != wanted or not hasattr(tower, method)):
            raise ArgumentError(
                f"the decoder reads {what}s of size {wanted}, and the tower "
                + ("gives none" if given is None else f"gives some of size {given}"),
                field=f"{what}_dim",
                expected=f"the tower's {what}_dim, or None",
            )

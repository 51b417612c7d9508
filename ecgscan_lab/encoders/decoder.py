"""The query-token decoder: one pooled image feature in, a 12-lead signal out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import INDEPENDENT_LEADS, LEADS, derive_twelve_leads

ACTIVATIONS = ("gelu", "relu")
NORMS = ("pre", "post")


class QueryDecoder(nn.Module):
    """Learnable queries, one per 8 samples, that read the page's latent and speak millivolts.

    Every query is the sum of itself, a learnable position and the latent; during training a random share is replaced by
    one learnable mask embedding; a Transformer encoder mixes them; a linear layer turns each into 12 leads x 8 samples.
    With `independent_leads` it speaks 8 leads only, and III, aVR, aVL and aVF are computed: no lead law can break.
    With `token_dim` every layer also attends to the tower's patch tokens, so that not all of the page has to pass
    through the one pooled latent. With `column_dim` every query also reads what a fine map of the page shows at its
    moment, since time runs along the page and the last map no longer holds the curves. Which lead a strip belongs to
    depends on the moment, so every query has a gate of its own on what it reads; a second linear layer speaks from
    there directly, and the Transformer adds what neighbours and hidden leads need. Both begin at zero, a flat line.
    Without gate, direct layer and zero such a decoder learns four times as slowly (`docs/lab-log.md`).

    Source: ECG-Scan (2026), arXiv 2604.01526, appendix A.1 (625 queries for 5,000 samples, 768-d, 12 layers, 12 heads:
    86.1 million parameters). *Differences*: sizes are arguments; the norm comes first, the feed-forward is 4 x wide
    with GELU and the mask share is 0.25, all of which the paper leaves open.

    Args:
        n_samples: samples a lead, at any rate; rounded up to whole queries inside, cut to length on return.
        dim: size of the latent and of the queries.
        layers: Transformer layers.
        heads: attention heads.
        mask_share: share of queries masked while training; 0 freezes the mask embedding, which is then never used.
        independent_leads: decode I, II and V1 to V6, and derive the other four (`leads.derive_twelve_leads`).
        samples_per_query: samples of every lead that one query speaks.
        feedforward: width of the feed-forward layers; 4 x `dim` unless given.
        activation: "gelu" or "relu".
        norm: "pre" (before attention and feed-forward, and once at the end) or "post" (after each, as in the first
            Transformer).
        token_dim: size of the patch tokens to attend to; None attends to none.
        column_dim: size of a column of the fine map; None reads none.
        column_span: where on the page, in shares of its width from the left, the recording begins and where it ends;
            None takes its whole width, margin and calibration pulse included.
        checkpointing: keep only what enters each layer, and compute the rest again on the way back: less memory for
            about a third more time, equal gradients.

    Raises:
        ArgumentError: no samples, heads that do not divide `dim`, or an unknown option.
    """

    def __init__(
        self,
        n_samples: int,
        dim: int,
        layers: int,
        heads: int,
        mask_share: float = 0.25,
        *,
        independent_leads: bool = False,
        samples_per_query: int = 8,
        feedforward: int | None = None,
        activation: str = "gelu",
        norm: str = "pre",
        token_dim: int | None = None,
        column_dim: int | None = None,
        column_span: tuple[float, float] | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        _check(n_samples, dim, layers, heads, mask_share, samples_per_query, activation, norm)
        self.n_samples = n_samples
        self.dim = dim
        self.mask_share = mask_share
        self.independent_leads = independent_leads
        self.samples_per_query = samples_per_query
        self.token_dim = token_dim
        self.column_dim = column_dim
        self.checkpointing = checkpointing
        n_queries = -(-n_samples // samples_per_query)
        self.column_span = (0.0, n_samples / (n_queries * samples_per_query)) if column_span is None else column_span
        self.queries = nn.Parameter(torch.randn(n_queries, dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(n_queries, dim) * 0.02)
        # A weight that takes no part must not ask for a gradient: training in several processes waits for it.
        self.mask = nn.Parameter(torch.zeros(dim), requires_grad=mask_share > 0)
        width, first = 4 * dim if feedforward is None else feedforward, norm == "pre"
        last = nn.LayerNorm(dim) if first else None
        self.encoder: nn.Module
        if token_dim is None:
            layer = nn.TransformerEncoderLayer(dim, heads, width, 0.0, activation, batch_first=True, norm_first=first)
            self.encoder = nn.TransformerEncoder(layer, layers, norm=last, enable_nested_tensor=False)
        else:
            reader = nn.TransformerDecoderLayer(dim, heads, width, 0.0, activation, batch_first=True, norm_first=first)
            self.encoder = nn.TransformerDecoder(reader, layers, norm=last)
            self.project_tokens = nn.Sequential(nn.LayerNorm(token_dim), nn.Linear(token_dim, dim))
        self.n_decoded = len(INDEPENDENT_LEADS if independent_leads else LEADS)
        self.head = nn.Linear(dim, self.n_decoded * samples_per_query)
        if column_dim is not None:
            self.read_columns = nn.Sequential(nn.BatchNorm1d(column_dim), nn.Conv1d(column_dim, dim, 3, padding=1))
            self.gates = nn.Parameter(1 + torch.randn(n_queries, dim))
            self.direct = nn.Linear(dim, self.head.out_features)
            for speaks in (self.head, self.direct):
                nn.init.zeros_(speaks.weight)
                nn.init.zeros_(speaks.bias)

    def forward(
        self,
        latent: torch.Tensor,
        generator: torch.Generator | None = None,
        tokens: torch.Tensor | None = None,
        masked: torch.Tensor | None = None,
        columns: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Latent `[batch, dim]` -> signal float32 `[batch, 12, n_samples]` in mV.

        Args:
            latent: Proj_rec(z_img).
            generator: draws the masked queries (on the CPU); without one nothing is masked.
            tokens: patch tokens `[batch, token, token_dim]` in reading order; needed exactly where `token_dim` is set.
            masked: bool `[batch, query]`, which queries to mask, in place of the generator's draw (`query_mask`).
            columns: of a fine map of the page `[batch, column_dim, column]`, from left to right; needed exactly where
                `column_dim` is set.

        Raises:
            ArgumentError: tokens or columns are missing, not wanted, or of another size; `masked` has another shape.
        """
        shown = self._shown(columns, len(latent))
        queries = self.queries + latent.unsqueeze(1)
        if shown is not None:
            queries = queries + shown
        if masked is None and generator is not None and self.mask_share > 0:
            masked = torch.rand(queries.shape[:2], generator=generator) < self.mask_share
        if masked is not None:
            if masked.shape != queries.shape[:2] or masked.dtype != torch.bool:
                raise ArgumentError(
                    f"got a mask of shape {tuple(masked.shape)} and type {masked.dtype}",
                    field="masked",
                    expected=f"bool {tuple(queries.shape[:2])}, one value a record and query",
                )
            masked = masked.to(queries.device).unsqueeze(-1)
            queries = torch.where(masked, self.mask, queries)
            shown = None if shown is None else shown.masked_fill(masked, 0.0)
        spoken = self.head(self._mix(queries + self.positions, self._memory(tokens, len(latent)))).float()
        if shown is not None:
            spoken = spoken + self.direct(shown).float()
        batch, n_queries, _ = spoken.shape
        leads_first = spoken.view(batch, n_queries, self.n_decoded, self.samples_per_query).transpose(1, 2)
        decoded = leads_first.reshape(batch, self.n_decoded, -1)[..., : self.n_samples]
        return derive_twelve_leads(decoded) if self.independent_leads else decoded

    def _shown(self, columns: torch.Tensor | None, batch: int) -> torch.Tensor | None:
        """What the page shows at the moment of every query `[batch, query, dim]`; None where no columns are read."""
        wanted = None if self.column_dim is None else (batch, self.column_dim, "column")
        columns = _fitting("columns", columns, wanted, "pass the image tower's columns (encode_columns)")
        if columns is None:
            return None
        read: torch.Tensor = self.read_columns(columns)
        return (read @ self._between(read.shape[2]).to(read.dtype)).transpose(1, 2) * self.gates

    def _between(self, n_columns: int) -> torch.Tensor:
        """Weights `[column, query]` that interpolate columns at the middle of every query's samples."""
        left, right = self.column_span
        # Made where it is used: copied there, every step would wait for the GPU.
        query, column = (
            torch.arange(n, dtype=torch.float64, device=self.queries.device) for n in (len(self.queries), n_columns)
        )
        moments = (query + 0.5) * self.samples_per_query / self.n_samples
        places = ((left + (right - left) * moments) * n_columns - 0.5).clamp(0, n_columns - 1)
        return (1 - (places - column.unsqueeze(1)).abs()).clamp(min=0)

    def _memory(self, tokens: torch.Tensor | None, batch: int) -> torch.Tensor | None:
        """What the queries attend to: projected tokens that know their place in the reading order."""
        wanted = None if self.token_dim is None else (batch, "token", self.token_dim)
        tokens = _fitting("tokens", tokens, wanted, "pass the image tower's tokens(images)")
        if tokens is None:
            return None
        projected = self.project_tokens(tokens)
        # The map of a convolutional tower says what it sees but not where, so each token is told.
        return projected + sinusoids(tokens.shape[1], self.dim, tokens.device).to(projected.dtype)

    def _mix(self, queries: torch.Tensor, memory: torch.Tensor | None) -> torch.Tensor:
        inputs = (queries,) if memory is None else (queries, memory)
        if not (self.checkpointing and torch.is_grad_enabled()):
            return self.encoder(*inputs)
        for layer in self.encoder.layers:  # type: ignore[union-attr]
            # Nothing in a layer draws random numbers, so there is no generator to keep.
            queries = checkpoint(layer, queries, *inputs[1:], use_reentrant=False, preserve_rng_state=False)
        return queries if self.encoder.norm is None else self.encoder.norm(queries)  # type: ignore[operator]


def query_mask(decoder: QueryDecoder, indices: np.ndarray | torch.Tensor, *, seed: int, epoch: int) -> torch.Tensor:
    """Which queries of which record are masked, as a function of (seed, epoch, record) alone.

    However a batch is split over processes, and wherever a run is continued, a record has the same mask.

    Args:
        decoder: says how many queries there are and which share is masked.
        indices: positions of the records `[batch]`.
        seed: of the run.
        epoch: pass over the data.

    Returns:
        bool `[batch, query]`.

    Properties: a part of the records has that part of the rows.
    """
    n_queries = len(decoder.queries)
    # The 1 parts these numbers from those that draw the page of the same (seed, epoch, record).
    rows = [np.random.default_rng([seed, epoch, int(i), 1]).random(n_queries, dtype=np.float32) for i in indices]
    return torch.from_numpy(np.stack(rows) if rows else np.empty((0, n_queries), np.float32)) < decoder.mask_share


def sinusoids(n: int, dim: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Fixed positions `[n, dim]`: sines, then cosines, of wavelengths from 2 pi to 20,000 pi.

    Source: Vaswani et al. (2017), arXiv 1706.03762, section 3.5, with the sines in front of the cosines.
    """
    half = (dim + 1) // 2
    frequency = torch.exp(torch.arange(half, device=device) * (-math.log(10_000.0) / half))
    angle = torch.arange(n, device=device).unsqueeze(1) * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :dim]


def _fitting(
    what: str, given: torch.Tensor | None, wanted: tuple[int | str, ...] | None, fix: str
) -> torch.Tensor | None:
    """What a decoder was given to read, refused if it was not built for it.

    `wanted` holds sizes, and words for free ones; None where nothing is read.
    """
    if wanted is None:
        if given is not None:
            raise ArgumentError(f"this decoder reads no {what}", field=what, fix=f"build it with {what[:-1]}_dim")
        return None
    if (
        given is None
        or given.ndim != len(wanted)
        or any(isinstance(want, int) and n != want for n, want in zip(given.shape, wanted, strict=True))
    ):
        raise ArgumentError(
            f"no {what} were given" if given is None else f"got {what} of shape {tuple(given.shape)}",
            field=what,
            expected=f"[{', '.join(map(str, wanted))}]",
            fix=fix,
        )
    return given


def _check(
    n_samples: int,
    dim: int,
    layers: int,
    heads: int,
    mask_share: float,
    samples_per_query: int,
    activation: str,
    norm: str,
) -> None:
    problems = {
        "n_samples": (n_samples < 1, "at least one sample"),
        "heads": (heads < 1 or dim % heads != 0, f"heads that divide {dim} dimensions"),
        "layers": (layers < 1, "at least one layer"),
        "mask_share": (not 0 <= mask_share < 1, "a share in [0, 1)"),
        "samples_per_query": (samples_per_query < 1, "at least one sample a query"),
        "activation": (activation not in ACTIVATIONS, " or ".join(ACTIVATIONS)),
        "norm": (norm not in NORMS, " or ".join(NORMS)),
    }
    for name, (wrong, expected) in problems.items():
        if wrong:
            raise ArgumentError(
                f"cannot build a decoder of {n_samples} samples, {dim} dimensions, {layers} layers and {heads} heads",
                field=name,
                expected=expected,
            )

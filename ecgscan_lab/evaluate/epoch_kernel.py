"""One epoch of a linear layer under Adam or AdamW, compiled: a hundred epochs of small batches take seconds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8

Float32 = NDArray[np.float32]


class LayerState(NamedTuple):
    """A linear layer `[class, dim + 1]` (the bias is the last column) and Adam's two moments of it, float32."""

    weights: Float32
    first: Float32
    second: Float32


def new_layer(n_classes: int, dim: int, seed: int) -> LayerState:
    """A layer drawn as PyTorch draws `nn.Linear`: weights and bias uniform within 1 / sqrt(dim)."""
    drawn = np.random.default_rng(seed).uniform(-1.0, 1.0, size=(n_classes, dim + 1)) / np.sqrt(dim)
    weights = drawn.astype(np.float32)
    return LayerState(weights, np.zeros_like(weights), np.zeros_like(weights))


def train_epoch(
    state: LayerState,
    x: Float32,
    y: Float32,
    order: NDArray[np.intp],
    learning_rates: NDArray[np.float64],
    *,
    batch_size: int,
    steps_before: int,
    weight_decay: float,
    decoupled: bool,
) -> int:
    """Go once through the records in the given order; the layer is changed in place. Returns the steps taken in all.

    **Equation.** Loss: binary cross-entropy averaged over a batch's records and classes. Step: Adam with bias
    correction, betas 0.9 and 0.999, eps 1e-8; weight decay is part of the gradient (Adam) or shrinks the weights by
    1 - lr x decay first (AdamW, `decoupled`). The bias decays too, as it does in PyTorch.

    Args:
        state: the layer.
        x: `[record, dim + 1]`, the last column 1.
        y: 0 or 1 `[record, class]`.
        order: each record's position once; the last batch may be short.
        learning_rates: one a step of this epoch.
        batch_size: records a step.
        steps_before: steps taken in earlier epochs.
        weight_decay: its strength.
        decoupled: AdamW instead of Adam with L2.
    """
    _train_epoch(x, y, order, learning_rates, batch_size, steps_before, weight_decay, decoupled, *state)
    return steps_before + len(learning_rates)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def _train_epoch(x, y, order, rates, batch_size, step, decay, decoupled, weights, first, second):  # type: ignore[no-untyped-def]
    n_classes, dim = weights.shape
    rows = np.empty((batch_size, dim), dtype=np.float32)
    gradient = np.empty(dim, dtype=np.float32)
    beta1, beta2 = np.float32(_BETA1), np.float32(_BETA2)
    rest1, rest2 = np.float32(1.0 - _BETA1), np.float32(1.0 - _BETA2)
    eps = np.float32(_EPS)
    for number in range(len(rates)):
        start = number * batch_size
        size = min(batch_size, len(order) - start)
        for i in range(size):
            rows[i] = x[order[start + i]]
        step += 1
        rate = rates[number]
        scale = np.float32(rate / (1.0 - _BETA1**step))
        spread = np.float32(1.0 / np.sqrt(1.0 - _BETA2**step))
        shrink = np.float32(1.0 - rate * decay) if decoupled else np.float32(1.0)
        coupled = np.float32(0.0) if decoupled else np.float32(decay)
        share = np.float32(1.0 / (size * n_classes))
        for k in range(n_classes):
            w, m, v = weights[k], first[k], second[k]
            for j in range(dim):
                gradient[j] = coupled * w[j]
            for i in range(size):
                row = rows[i]
                logit = np.float32(0.0)
                for j in range(dim):
                    logit += w[j] * row[j]
                error = (np.float32(1.0) / (np.float32(1.0) + np.exp(-logit)) - y[order[start + i], k]) * share
                for j in range(dim):
                    gradient[j] += error * row[j]
            for j in range(dim):
                m[j] = beta1 * m[j] + rest1 * gradient[j]
                v[j] = beta2 * v[j] + rest2 * gradient[j] * gradient[j]
                w[j] = shrink * w[j] - scale * m[j] / (np.sqrt(v[j]) * spread + eps)

"""Zero-shot from a feature table and prompts, and retrieval of a cohort's texts and signals: one call each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecgscan_lab.batch import FrozenFeatures
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.errors import ArgumentError, LabelError
from ecgscan_lab.evaluate.cache import weights_sha256
from ecgscan_lab.evaluate.feature_table import FeatureTable
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.evaluate.intervals import bootstrap_ci
from ecgscan_lab.evaluate.zero_shot import (
    RetrievalResult,
    Similarity,
    ZeroShotResult,
    class_embeddings,
    retrieval,
    zero_shot,
)
from ecgscan_lab.types import Cohort, TextTower


def judge_prompts(
    image_embeddings: ArrayLike,
    model: EcgScanModel,
    tower: TextTower,
    prompts: Mapping[str, Sequence[str]],
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    similarity: Similarity = "cosine",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> ZeroShotResult:
    """Zero-shot classification by prompts: text tower, projection, mean of a class's prompts, similarity, AUROC.

    Args:
        image_embeddings: `[record, d_shared]`, from `embed_images(..., what="shared")`.
        model: its text projection takes prompts into the shared space.
        tower: the text tower the model was trained with.
        prompts: class -> prompts, from `data.prompts`; the order of the classes is that of the columns.
        labels: 0 or 1, `[record, class]`.
        groups: patient of each record, for the interval.
        similarity: "cosine", or "dot".
        n_bootstrap, seed: patient resamples, and their seed.

    Returns:
        Macro AUROC with its interval, and every class's.

    Raises:
        ArgumentError: the text tower is not that of the model, or shapes differ.
        LabelError: no class is defined, or one has no prompt.
    """
    layer = next((part for part in model.project_text.modules() if hasattr(part, "in_features")), None)
    if layer is not None and layer.in_features != tower.embed_dim:
        raise ArgumentError(
            f"the text tower {tower.name!r} gives {tower.embed_dim} numbers, the model reads {layer.in_features}",
            field="tower",
            expected="the text tower that the model was trained with",
        )
    classes = class_embeddings(
        prompts, lambda texts: model.project_texts(tower.encode_text(texts)), similarity=similarity
    )
    return zero_shot(
        image_embeddings, classes, labels, groups, list(prompts),
        n_bootstrap=n_bootstrap, seed=seed, similarity=similarity,
    )  # fmt: skip


def query_aurocs(
    image_embeddings: ArrayLike,
    model: EcgScanModel,
    tower: TextTower,
    text: str,
    labels: ArrayLike,
    classes: Sequence[str],
) -> dict[str, float | None]:
    """Rank all records by their cosine to one text, and say how well that ranking finds each class.

    Args:
        image_embeddings: `[record, d_shared]`.
        model: its text projection takes the text into the shared space.
        tower: the text tower the model was trained with.
        text: any words.
        labels: 0 or 1, `[record, class]`.
        classes: names of the columns.

    Returns:
        class -> AUROC in percent, None where undefined; below 50 the text finds everybody else.

    Raises:
        ArgumentError: the text is empty, the tower is not that of the model, or shapes differ.
        LabelError: no class has both values.
    """
    if not text.strip():
        raise ArgumentError("an empty text", field="text", expected="some words")
    truth = np.asarray(labels)
    found = judge_prompts(
        image_embeddings, model, tower, {name: [text] for name in classes}, truth, n_bootstrap=1
    )  # fmt: skip
    return dict(found.per_class)


def class_intervals(
    result: ZeroShotResult, groups: ArrayLike | None = None, *, n_bootstrap: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """95 % patient-level interval of every class's AUROC; None where the class is undefined."""
    intervals: dict[str, tuple[float, float] | None] = {}
    for c, (name, auroc) in enumerate(result.per_class.items()):
        column = slice(c, c + 1)
        intervals[name] = None
        if auroc is not None:
            intervals[name] = bootstrap_ci(
                result.targets[:, column], result.scores[:, column], groups, n_bootstrap=n_bootstrap, seed=seed
            )
    return intervals


def check_shared(table: FeatureTable, model: EcgScanModel) -> None:
    """Refuse features that are not in the shared space of this very model.

    Raises:
        ArgumentError: they are the tower's own, or were made with other weights.
    """
    what = table.provenance.get("what")
    if what != "shared":
        raise ArgumentError(
            f"features of kind {what!r}", field="features", expected="'shared'", fix="embed with --what shared"
        )
    if table.provenance.get("weights_sha256") != weights_sha256(model):
        raise ArgumentError(
            "the features were made with other weights",
            field="features",
            expected="features of this checkpoint",
            fix="embed again with this checkpoint",
        )


def retrieval_table(
    model: EcgScanModel,
    cohort: Cohort,
    frozen: FrozenFeatures,
    *,
    split: str | None = "test",
    ks: Sequence[int] = (1, 5, 10),
    image_embeddings: np.ndarray | None = None,
    cache: str | PathLike[str] | None = None,
) -> dict[str, RetrievalResult]:
    """Image-text and image-signal retrieval of a cohort, both ways, as one call.

    Args:
        model: image tower and projections.
        cohort: the records.
        frozen: their text features and the teacher's signal features, as for training.
        split: records of this split; None takes all.
        ks: cut-offs of recall.
        image_embeddings: `[record, d_shared]` of the whole cohort where they are at hand; None draws and embeds pages.
        cache: folder in which page embeddings are kept.

    Returns:
        "image-text" (equal texts are all hits), and "image-signal" where the teacher's features have the size of the
        shared space.

    Raises:
        ArgumentError: sizes do not fit.
        LabelError: the split has fewer than two records.
    """
    rows = np.arange(len(cohort)) if split is None else cohort.indices(split)
    if len(rows) < 2:
        raise LabelError(f"{len(rows)} records in split {split!r}", field="split", expected="at least two to rank")
    if image_embeddings is None:
        tower: Any = model.tower
        images = embed_pages(model.image_embeddings, cohort, tuple(tower.size), indices=rows, cache=cache)
    else:
        images = np.asarray(image_embeddings)[rows]
    texts = model.project_texts(np.asarray(frozen.text[rows]))
    table = {"image-text": retrieval(images, texts, ks, np.asarray(frozen.text_ids)[rows])}
    if frozen.signal.shape[1] == images.shape[1]:
        table["image-signal"] = retrieval(images, np.asarray(frozen.signal[rows]), ks)
    return table

"""Judge aligned embeddings without a single label: cosine to class prompts, and retrieval across modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, LabelError
from ecgscan_lab.evaluate.intervals import FloatArray, bootstrap_ci, macro_auroc
from ecgscan_lab.evaluate.linear_probe import checked_class_names, named_aurocs

Similarity = Literal["cosine", "dot"]
SIMILARITIES = ("cosine", "dot")

_QUERIES_AT_ONCE = 1024  # bounds the [query, candidate] similarities held in memory


@dataclass(frozen=True)
class ZeroShotResult:
    """How well the cosine to each class's prompts ranks the records. Every AUROC is percent.

    Attributes:
        macro_auroc: mean AUROC of the defined labels, 0 to 100.
        ci95: patient-level 95 % bootstrap interval of `macro_auroc`.
        n_defined: labels with both a positive and a negative record.
        n_classes: labels asked for.
        per_class: label -> AUROC, or None where undefined.
        n_test: records judged.
        targets: 0 or 1, `[record, class]`; not part of equality.
        scores: cosines, or dot products, `[record, class]`; not part of equality.
    """

    macro_auroc: float
    ci95: tuple[float, float]
    n_defined: int
    n_classes: int
    per_class: Mapping[str, float | None]
    n_test: int
    targets: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), bool), compare=False, repr=False)
    scores: FloatArray = field(default_factory=lambda: np.empty((0, 0)), compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, AUROC in percent."""
        return {
            "macro_auroc": self.macro_auroc,
            "ci95": list(self.ci95),
            "n_defined": self.n_defined,
            "n_classes": self.n_classes,
            "per_class": dict(self.per_class),
            "n_test": self.n_test,
        }


@dataclass(frozen=True)
class RetrievalResult:
    """How often the right partner is among the first k, both ways.

    Attributes:
        recall_image_to_other: k -> percent of images with a hit among their k most similar others.
        recall_other_to_image: k -> percent of others with a hit among their k most similar images.
        median_rank_image_to_other: median rank of the first hit; 1 is best.
        median_rank_other_to_image: the same in the other direction.
        n: number of pairs.
        ranks_image_to_other: rank of each image's first hit `[pair]`; not part of equality.
        ranks_other_to_image: the same in the other direction; not part of equality.
    """

    recall_image_to_other: Mapping[int, float]
    recall_other_to_image: Mapping[int, float]
    median_rank_image_to_other: float
    median_rank_other_to_image: float
    n: int
    ranks_image_to_other: FloatArray = field(default_factory=lambda: np.empty(0), compare=False, repr=False)
    ranks_other_to_image: FloatArray = field(default_factory=lambda: np.empty(0), compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, recall in percent."""
        return {
            "recall_image_to_other": {str(k): value for k, value in self.recall_image_to_other.items()},
            "recall_other_to_image": {str(k): value for k, value in self.recall_other_to_image.items()},
            "median_rank_image_to_other": self.median_rank_image_to_other,
            "median_rank_other_to_image": self.median_rank_other_to_image,
            "n": self.n,
        }


def class_embeddings(
    prompts: Mapping[str, Sequence[str]],
    encode: Callable[[list[str]], ArrayLike],
    *,
    similarity: Similarity = "cosine",
) -> NDArray[np.float64]:
    """One vector a class: for cosines the normalised mean of its prompts' normalised embeddings, else their mean.

    **Equation.** `t_c = normalise(mean_p normalise(encode(p)))` over the prompts p of class c; for dot products
    `t_c = mean_p encode(p)`.

    **Source.** Prompt ensembling of CLIP (Radford et al., 2021, arXiv 2103.00020, section 3.1.4). *Differences*:
    D-BETA's code uses one text a class and a raw dot product; ECG-Scan does not say.

    Args:
        prompts: class -> its prompts, at least one each.
        encode: texts -> embeddings `[text, dim]` in the space shared with the images (projected text features).
        similarity: "cosine", or "dot" as D-BETA's code has it.

    Returns:
        float64 `[class, dim]`, in the order of `prompts`; unit rows for cosines.

    Raises:
        LabelError: no classes, or a class without prompts.
        ArgumentError: `encode` returns another number of rows, or a row that is zero or not finite.

    Properties: the order of a class's prompts does not matter; scaling an embedding changes nothing.

    >>> table = {"a": [3.0, 0.0], "b": [0.0, 2.0]}
    >>> class_embeddings({"both": ["a", "b"], "one": ["b"]}, lambda texts: [table[t] for t in texts]).round(3)
    array([[0.707, 0.707],
           [0.   , 1.   ]])
    """
    if not prompts:
        raise LabelError("no classes", field="prompts", expected="at least one class with at least one prompt")
    for name, texts in prompts.items():
        if isinstance(texts, str) or not len(texts):
            raise LabelError(f"class {name!r} has no list of prompts", field="prompts", expected="class -> [text, ...]")
    texts = [text for of_class in prompts.values() for text in of_class]
    encoded = np.asarray(encode(texts), dtype=np.float64)
    if encoded.ndim != 2 or len(encoded) != len(texts):
        raise ArgumentError(
            f"encode gave shape {encoded.shape} for {len(texts)} texts", field="encode", expected="[text, dim]"
        )
    checked = _rows_for(similarity, encoded, "encode")
    ends = np.cumsum([len(of_class) for of_class in prompts.values()])
    means = np.stack([part.mean(axis=0) for part in np.split(checked, ends[:-1])])
    return _rows_for(similarity, means, "prompts")


def zero_shot(
    image_embeddings: ArrayLike,
    class_embeddings: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    similarity: Similarity = "cosine",
) -> ZeroShotResult:
    """Rank records by the cosine between their image and each class, and report the macro AUROC in percent.

    **Equation.** `s_ic = cos(z_i, t_c)`, or `z_i . t_c` for dot products, then `intervals.macro_auroc` of s.

    **Source.** ECG-Scan (arXiv 2604.01526, section 5); MERL (arXiv 2403.06659). *Differences*: labels without a
    positive or negative record are left out and counted; no softmax over classes, since ECG labels are not exclusive.

    Args:
        image_embeddings: projected image embeddings `[record, dim]`, any scale.
        class_embeddings: `[class, dim]`, from `class_embeddings()`.
        labels: 0 or 1, `[record, class]`, columns in the order of the classes.
        groups: patient of each record, for the interval; None makes every record its own patient.
        class_names: names of the classes; None names them "class 0", "class 1", ...
        n_bootstrap: patient resamples for `ci95`.
        seed: seed of the resamples.
        similarity: "cosine", or "dot", which also counts how long an image's embedding is.

    Returns:
        Macro AUROC with its interval, every label's AUROC, and the cosines behind them.

    Raises:
        ArgumentError: shapes differ, or an embedding is zero or not finite.
        LabelError: no label is defined.
        SplitError: there is only one patient.

    Properties: cosines are unchanged by scaling any embedding; both similarities by one rotation of both sets.

    >>> images = [[1.0, 0.1], [0.1, 1.0], [0.9, 0.0], [0.0, 0.8]]
    >>> zero_shot(images, [[1.0, 0.0]], [[1], [0], [1], [0]]).macro_auroc
    100.0
    """
    images, classes = np.asarray(image_embeddings, np.float64), np.asarray(class_embeddings, np.float64)
    truth = np.asarray(labels)
    if images.ndim != 2 or classes.ndim != 2 or images.shape[1] != classes.shape[1]:
        raise ArgumentError(
            f"image embeddings {images.shape} and class embeddings {classes.shape}",
            field="class_embeddings",
            expected="[record, dim] and [class, dim] of one dim",
            fix="embed both with the projections of the same model",
        )
    if truth.shape != (len(images), len(classes)):
        raise ArgumentError(
            f"labels of shape {truth.shape}",
            field="labels",
            expected=f"[record, class] = {(len(images), len(classes))}",
        )
    names = checked_class_names(class_names, len(classes))
    # einsum sums every row alike, so that equal embeddings get equal scores whatever the number of rows.
    scores = np.einsum(
        "nd,cd->nc",
        _rows_for(similarity, images, "image_embeddings"),
        _rows_for(similarity, classes, "class_embeddings"),
    )
    result = macro_auroc(truth, scores)
    return ZeroShotResult(
        macro_auroc=result.macro,
        ci95=bootstrap_ci(truth, scores, groups, n_bootstrap=n_bootstrap, seed=seed),
        n_defined=result.n_defined,
        n_classes=len(classes),
        per_class=named_aurocs(names, result.per_class),
        n_test=len(images),
        targets=truth.astype(bool),
        scores=scores,
    )


def retrieval(
    image_embeddings: ArrayLike,
    other_embeddings: ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
    text_ids: ArrayLike | None = None,
) -> RetrievalResult:
    """Find each image's partner among all others by cosine, and the other way round.

    **Equation.** The rank of a query is 1 + (candidates that are no hit and more similar than its best hit) + half of
    those exactly as similar; recall@k is the percentage of queries with rank <= k.

    **Source.** Recall@k as in image-text retrieval (for instance CLIP, arXiv 2103.00020). *Differences*: candidates
    with the same text are all hits, because many ECG reports are word for word alike; ties count half, so that
    collapsed embeddings score as chance rather than as perfect.

    Args:
        image_embeddings: `[pair, dim]`, any scale.
        other_embeddings: text or signal embeddings of the same pairs, `[pair, dim]`.
        ks: the cut-offs.
        text_ids: identity of each pair's text `[pair]` (the text itself will do); None makes every pair unique.

    Returns:
        Recall in percent at each k and the median rank, in both directions.

    Raises:
        ArgumentError: shapes differ, an embedding is zero or not finite, or a k is below 1.

    Properties: recall never falls with k; 100 at rank 1 for identical embeddings; swapping the two sets swaps the two
    directions.

    >>> result = retrieval([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.1], [0.1, 1.0]], ks=(1,))
    >>> result.recall_image_to_other[1], result.median_rank_other_to_image
    (100.0, 1.0)
    """
    images, others = np.asarray(image_embeddings, np.float64), np.asarray(other_embeddings, np.float64)
    if images.ndim != 2 or images.shape != others.shape or 0 in images.shape:
        raise ArgumentError(
            f"image embeddings {images.shape} and other embeddings {others.shape}",
            field="other_embeddings",
            expected="the same pairs in the same order, both [pair, dim]",
        )
    if not len(ks) or min(ks) < 1:
        raise ArgumentError(f"ks {tuple(ks)}", field="ks", expected="integers of at least 1")
    n = len(images)
    identity = np.arange(n) if text_ids is None else np.asarray(text_ids)
    if identity.shape != (n,):
        raise ArgumentError(f"text_ids of shape {identity.shape}", field="text_ids", expected=f"one a pair, ({n},)")
    codes = np.unique(identity, return_inverse=True)[1]
    images, others = _unit_rows(images, "image_embeddings"), _unit_rows(others, "other_embeddings")
    forward, backward = _ranks(images, others, codes), _ranks(others, images, codes)
    return RetrievalResult(
        recall_image_to_other={int(k): 100.0 * float((forward <= k).mean()) for k in ks},
        recall_other_to_image={int(k): 100.0 * float((backward <= k).mean()) for k in ks},
        median_rank_image_to_other=float(np.median(forward)),
        median_rank_other_to_image=float(np.median(backward)),
        n=n,
        ranks_image_to_other=forward,
        ranks_other_to_image=backward,
    )


def _ranks(queries: FloatArray, candidates: FloatArray, codes: NDArray[np.intp]) -> FloatArray:
    """Rank of each query's best hit, `[query]`; query i hits every candidate with the same code."""
    ranks = []
    for first in range(0, len(queries), _QUERIES_AT_ONCE):
        # Rounded, so that equal embeddings tie however the product was summed.
        similarity = np.round(queries[first : first + _QUERIES_AT_ONCE] @ candidates.T, 12)
        hit = codes[first : first + _QUERIES_AT_ONCE, None] == codes
        best = np.where(hit, similarity, -np.inf).max(axis=1, keepdims=True)
        ranks.append(1.0 + (~hit & (similarity > best)).sum(axis=1) + 0.5 * (~hit & (similarity == best)).sum(axis=1))
    return np.concatenate(ranks)


def _rows_for(similarity: str, rows: FloatArray, name: str) -> FloatArray:
    """Unit rows for cosines, the rows themselves for dot products; neither zero nor infinite."""
    if similarity not in SIMILARITIES:
        raise ArgumentError(f"similarity {similarity!r}", field="similarity", expected=" or ".join(SIMILARITIES))
    unit = _unit_rows(rows, name)
    return unit if similarity == "cosine" else rows


def _unit_rows(rows: FloatArray, name: str) -> FloatArray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length[:, 0]) & (length[:, 0] > 0)))
    if len(bad):
        raise ArgumentError(
            f"{len(bad)} embeddings are zero or not finite, the first in row {bad[0]}",
            field=name,
            expected="finite rows that are not all zero",
            fix="check the encoder's output for that row",
        )
    return rows / length

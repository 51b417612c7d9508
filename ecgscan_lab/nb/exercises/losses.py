"""Exercises of notebook 07: mend a loss, put an interval around luck, write a loss that knows front from back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from ecgscan_lab.evaluate.paired import seed_interval
from ecgscan_lab.losses.checks import check_loss
from ecgscan_lab.losses.gram import gram_loss
from ecgscan_lab.losses.trial import EMBEDDINGS, draw_features
from ecgscan_lab.nb.exercises.checks import value_check
from ecgscan_lab.nb.exercises.exercise import Check, Exercise, Wrong
from ecgscan_lab.types import Features


def angle_loss(features: Features) -> torch.Tensor:
    """Mean angle between image and report, in radians, with a slope that is infinite where they meet."""
    cosine = (normalize(features.image) * normalize(features.text)).sum(1)
    return torch.acos(cosine).mean()


def guarded_angle_loss(features: Features) -> torch.Tensor:
    """The same angle, kept away from the two ends where its slope is infinite."""
    cosine = (normalize(features.image) * normalize(features.text)).sum(1)
    return torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)).mean()


def interval_of_differences(differences: np.ndarray) -> tuple[float, float]:
    """Student's interval of a mean."""
    from scipy.stats import t

    n = len(differences)
    reach = t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / math.sqrt(n)
    return float(np.mean(differences) - reach), float(np.mean(differences) + reach)


def _around(differences: np.ndarray, reach: float) -> tuple[float, float]:
    return differences.mean() - reach, differences.mean() + reach


def _volume(features: Features) -> torch.Tensor:
    return gram_loss(features.image, features.text, features.signal, 14.3)


def three_cosines(features: Features) -> torch.Tensor:
    """Three contrastive losses on cosines, one a pair of modalities."""
    image, text, signal = (normalize(getattr(features, name)) for name in EMBEDDINGS)
    here = torch.arange(len(image), device=image.device)
    pairs = ((image, text), (image, signal), (text, signal))
    losses = [torch.nn.functional.cross_entropy(features.logit_scale * a @ b.T, here) for a, b in pairs]
    return torch.stack(losses).mean()


def _contract(answer: Callable[[Features], Any]) -> str | None:
    """The first required property that is missing, in words."""
    report = check_loss(answer)
    if report.ok:
        return None
    first = report.failures[0]
    return f'check_loss misses "{first.name}": {first.seen}.'


def _is_an_angle(answer: Callable[[Features], Any]) -> str | None:
    for draw in range(3):
        features = draw_features(draw, 6, 8)
        got, wanted = float(answer(features)), float(angle_loss(features))
        if not abs(got - wanted) < 1e-2:
            return f"on ordinary features it gives {got:.4g}, but the mean angle is {wanted:.4g}."
    return None


def _knows_the_sign(answer: Callable[[Features], Any]) -> str | None:
    finding = check_loss(answer)["tells z from -z"]
    return None if finding.holds else f"it does not tell z from -z: {finding.seen}."


def _reads_all_three(answer: Callable[[Features], Any]) -> str | None:
    answer(draw_features(0, 6, 8))  # check_loss would make a finding of NotImplementedError, too
    missing = [name for name in EMBEDDINGS if name not in check_loss(answer).reads]
    return f"it does not read {' and '.join(missing)}." if missing else None


_MEND = Exercise(
    id="07.1",
    question="Mend angle_loss so that check_loss passes, without changing its value on ordinary features.",
    solution=guarded_angle_loss,
    checks=(
        Check(
            "value",
            _is_an_angle,
            (
                "it should still be the mean angle between image and report, in radians.",
                "whatever you add or clamp has to be small: 1e-6, not 0.1.",
            ),
        ),
        Check(
            "contract",
            _contract,
            (
                "where does the slope of acos become infinite, and which embeddings lie there?",
                "keep the cosine a little away from 1 and from -1 before acos sees it.",
                "torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)).mean()",
            ),
        ),
    ),
    wrong=(
        Wrong(lambda features: torch.nan_to_num(angle_loss(features)), "finite at collapse"),
        Wrong(lambda features: 1 - torch.cos(angle_loss(features)), "the mean angle is"),
        Wrong(lambda features: guarded_angle_loss(features).item(), "it returns a float"),
        Wrong(lambda features: guarded_angle_loss(features).detach(), "no gradient arrives"),
        Wrong(angle_loss, "finite at collapse"),
    ),
)

_DIFFERENCES = [np.array([1.0, 2.0, 3.0]), np.array([0.6, -0.2, 0.4, 0.1, 0.3])]

_INTERVAL = Exercise(
    id="07.2",
    question="Return low and high of the 95 % interval of the mean of paired differences, one a seed.",
    solution=interval_of_differences,
    checks=(
        value_check(
            lambda differences: np.array(seed_interval(differences)[1:]),
            [(differences,) for differences in _DIFFERENCES],
            "mean plus and minus t times the standard error; the standard error is s / sqrt(n).",
            "s is that of a sample: np.std(..., ddof=1); t has n - 1 degrees of freedom.",
            "scipy.stats.t.ppf(0.975, n - 1): 95 % inside leaves 2.5 % on either side.",
            tolerance=1e-3,
        ),
    ),
    wrong=(
        Wrong(lambda d: _around(d, 1.96 * d.std(ddof=1) / len(d) ** 0.5), "it gives 3.132"),
        Wrong(lambda d: _around(d, 4.303 * d.std(ddof=0) / len(d) ** 0.5), "expected"),
        Wrong(lambda d: _around(d, 4.303 * d.std(ddof=1)), "it gives -2.303"),
        Wrong(lambda d: (d.min(), d.max()), "it gives 3"),
        Wrong(lambda d: d.mean(), "it returns shape ()"),
    ),
)

_OWN = Exercise(
    id="07.3",
    question="Write a loss on image, text and signal that passes check_loss and tells z from -z.",
    solution=three_cosines,
    checks=(
        Check("inputs", _reads_all_three, ("features.image, features.text and features.signal all have a part.",)),
        Check(
            "contract",
            _contract,
            ("run check_loss on it and read what a missing property means.", "sum three losses that each pass it."),
        ),
        Check(
            "sign",
            _knows_the_sign,
            (
                "a square forgets the sign, and so does a volume; what does not?",
                "sum the contrastive losses of the three pairs of modalities: cosines know their sign.",
            ),
        ),
    ),
    wrong=(
        Wrong(_volume, "does not tell z from -z"),
        Wrong(guarded_angle_loss, "it does not read signal"),
        Wrong(lambda features: -three_cosines(features), "matched below mismatched"),
        Wrong(lambda f: (f.image * f.text * f.signal).sum(1).mean(), "matched below mismatched"),
    ),
)

EXERCISES = (_MEND, _INTERVAL, _OWN)

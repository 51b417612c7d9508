"""SNOMED CT codes of ECG headers, and the classes that corpora make of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ecgscan_lab.data.tables import read_table

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class SnomedCode:
    """One code: its abbreviation, its words, and the class it was scored as in the challenge of 2021 ("" if none)."""

    abbreviation: str
    words: str
    scored_as: str


@cache
def snomed_codes() -> dict[str, SnomedCode]:
    """The 133 codes of the PhysioNet/CinC Challenge 2021, by code.

    Source: M. Reyna et al. (2021), "Will two do? Varying dimensions in electrocardiography", dx_mapping tables.
    *Differences*: words put into one spelling.

    Example:
        >>> snomed_codes()["164889003"].abbreviation
        'AF'
    """
    lines = read_table(_FOLDER / "snomed_codes.csv", ["snomed", "abbreviation", "words", "scored_as"])
    return {line["snomed"]: SnomedCode(line["abbreviation"], line["words"], line["scored_as"]) for line in lines}


def scored_classes() -> tuple[str, ...]:
    """The 26 classes of the challenge, alphabetical: codes that it scored as one diagnosis are one class."""
    return tuple(sorted({code.scored_as for code in snomed_codes().values() if code.scored_as}))


def challenge_labels(codes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Labels of a header's codes: "scored" (26 classes), and "all" (abbreviations; an unknown code stays a code).

    Example:
        >>> challenge_labels(["59118001", "164873001"])
        {'scored': ('RBBB',), 'all': ('RBBB', 'LVH')}
    """
    known = snomed_codes()
    codes = list(codes)
    scored = {known[code].scored_as for code in codes if code in known} - {""}
    named = (known[code].abbreviation if code in known else code for code in codes)
    return {"scored": tuple(sorted(scored)), "all": tuple(dict.fromkeys(named))}


@cache
def csn_statements() -> tuple[tuple[str, str, str], ...]:
    """The statements of Chapman-Shaoxing-Ningbo in its publisher's order: (acronym, words, code).

    Several acronyms share one code; a header's code then stands for the first of them.

    Source: J. Zheng et al. (2022), "A large scale 12-lead electrocardiogram database for arrhythmia study", PhysioNet,
    ConditionNames_SNOMED-CT.csv. *Differences*: words in today's terms.

    Example:
        >>> csn_statements()[0]
        ('1AVB', 'first degree AV block', '270492004')
    """
    lines = read_table(_FOLDER / "csn_statements.csv", ["acronym", "words", "snomed"])
    return tuple((line["acronym"], line["words"], line["snomed"]) for line in lines)

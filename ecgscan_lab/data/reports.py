"""Report texts: cleaned, put into English, or written from labels; and prompts for zero-shot classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from ecgscan_lab.data.descriptions import DESCRIPTIONS, PHRASINGS, SUPERCLASS_OF, SUPERCLASSES, SYNONYMS
from ecgscan_lab.data.german import translate_german
from ecgscan_lab.errors import LabelError
from ecgscan_lab.types import Cohort

__all__ = [
    "DESCRIPTIONS",
    "TEMPLATES",
    "class_prompts",
    "clean_report",
    "texts_of",
    "translate_german",
    "write_report",
]

TEMPLATES = (
    "{}.",
    "ecg showing {}.",
    "the ecg shows {}.",
    "12-lead ecg: {}.",
    "interpretation: {}.",
)

# Characters that a wrong code page left in PTB-XL's texts: "#bergang" is "übergang", "sÄó¬ning" is "sänkning".
_REPAIRS = (
    ("#bergang", "übergang"),
    ("schweiáausbruch", "schweißausbruch"),
    ("säó¬ning", "sänkning"),
    ("elleó¬vänster", "eller vänster"),
)
_BOILERPLATE = (
    # An editor's appendix repeats the annotator's label codes, age and sex: it would give the answer away.
    re.compile(r"\bedit:.*", re.DOTALL),
    re.compile(r"\bunbestätigter\s+bericht\b"),
    re.compile(r"\bunconfirmed\s+(?:report|diagnosis)\b"),
    re.compile(r"\bversion\s+\d+(?:\.\d+)*"),
    re.compile(r"(?<![\d.,:])\d\.\d{2}\b(?=\s*$)"),
)
_PERSONAL = (
    re.compile(r"\b\d{1,2}[./:-]\d{1,2}[./:-]\d{2,4}\b"),  # dates
    re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[t ]\d{2}:\d{2}(?::\d{2})?)?"),
    re.compile(r"\b(?:\d{1,2}\s*&\s*)?\d{1,2}:\d{1,2}:\d{2,4}\b"),
    re.compile(r"\b\d{1,3}[\s-]*(?:years?|yrs?|jahre?n?|jährig\w*|y/?o)\b(?:[\s-]*old)?"),
    re.compile(r"\b(?:age|alter|aged)\s*[:=]?\s*\d{1,3}\b"),
    re.compile(r"\(\s*[mfw]\s*,\s*\d{1,3}\s*\)"),  # (f,26)
    re.compile(r"\b(?:patient(?:in)?|name)\s*[:=]\s*[^.,;:]*"),
    re.compile(r"\b(?:mrs?|dr|prof|herrn?|frau)\b\.?\s+[^\W\d_]+"),
    re.compile(r"\b\d{5,}\b"),  # identifiers and dates without separators
)


_UNCONFIRMED = "unbestätigter bericht"


def _without_cut_boilerplate(text: str) -> str:
    """Drops a cut-short "unbestätigter bericht" from the end, but not the "unbest." of an infarct's age."""
    for length in range(len(_UNCONFIRMED), 0, -1):
        beginning = _UNCONFIRMED[:length]
        if text.endswith(f" {beginning}") and (length > 6 or re.search(rf"\d\.\d\d {beginning}$", text)):
            return text[:-length].rstrip()
    return text


def clean_report(text: str) -> str:
    """Makes a report comparable: lower case, no boilerplate, no dates, ages or identifiers, single spaces.

    Drops "unbestätigter bericht" (also cut short at the end of a full field), program version numbers, `*`, `=` and
    runs of `-`, everything after "edit:" (an editor's label codes, age and sex), dates, ages, names after a title,
    and numbers of five and more digits; repairs known encoding damage; writes ECG for EKG.

    **Source** stars, equal signs, dashes and EKG as in MERL (C. Liu et al., 2024, arXiv 2403.06659). *Differences*:
    nothing is dropped for being short; boilerplate, personal data and damage are removed as well.

    Args:
        text: the report as the source gives it.

    Returns:
        The cleaned report, possibly empty.

    Properties: deterministic; idempotent.

    Example:
        >>> clean_report("SINUSRHYTHMUS NORMALES EKG 4.46       UNBESTÄTIGTER BERICHT")
        'sinusrhythmus normales ecg'
    """
    text = unicodedata.normalize("NFC", text).lower()
    for damaged, repaired in _REPAIRS:
        text = text.replace(damaged, repaired)
    text = re.sub(r"[ó¿¬½©�*=_|]|-{2,}", " ", text)
    text = re.sub(r"\s+", " ", text).strip()
    before = None
    while before != text:  # a version number ends the text only once the boilerplate after it is gone
        before = text
        text = _without_cut_boilerplate(text)
        for pattern in (*_BOILERPLATE, *_PERSONAL):
            text = pattern.sub(" ", text).strip()
        text = re.sub(r"\bekg\b", "ecg", text)
        text = re.sub(r"\s+([.,;])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,;")
    return text


def write_report(
    labels: Mapping[str, Sequence[str]], descriptions: Mapping[str, str] = DESCRIPTIONS, *, rng: np.random.Generator
) -> str:
    """Writes a report the way an electrocardiograph phrases it, from labels alone.

    Rhythm comes first, with its ventricular response; then axis, then findings in random order (an infarct's stage
    and strain follow what they qualify); then the verdict. A superclass is named only where no more specific label
    says why. "Normal" is said only when nothing contradicts it.

    Args:
        labels: task -> codes, for instance `{"rhythm": ("SR",), "diagnosis": ("CLBBB",)}`.
        descriptions: code -> words, for codes without phrasings of their own.
        rng: generator; chooses phrasing and order.

    Returns:
        Sentences, or "" when there is no label.

    Raises:
        LabelError: a code has no description.

    Example:
        >>> labels = {"superclass": ("CD",), "rhythm": ("SBRAD",), "diagnosis": ("CLBBB",)}
        >>> write_report(labels, rng=np.random.default_rng(0))
        'Sinus rhythm with slow rate, sinus bradycardia. Complete left bundle branch block. Abnormal ECG.'
    """
    codes = list(dict.fromkeys(code for names in labels.values() for code in names))
    rhythms = set(labels.get("rhythm", ())) | ({"SR", "SBRAD", "STACH", "AFIB", "AFLT"} & set(codes))
    explained = {SUPERCLASS_OF[code] for code in codes if code in SUPERCLASS_OF}
    findings = [
        c for c in codes if c not in rhythms | _REMARKS | {"NORM"} and not (c in SUPERCLASSES and c in explained)
    ]
    rng.shuffle(findings)

    order = [code for code in codes if code in rhythms]
    order += [code for code in ("RVR", "LAD", "RAD") if code in codes]
    for code in findings:
        order.append(code)
        order += [remark for remark in _QUALIFIES if remark in codes and code in _QUALIFIES[remark]]
    sentences = [_statement(code, descriptions, rng) for code in order]

    diseased = bool(explained or (set(codes) & set(SUPERCLASSES)) - {"NORM"})
    if "NORM" in codes and not diseased:
        sentences.append("Normal ECG" if set(order) <= {"SR"} else "Otherwise normal ECG")
    elif (diseased or rhythms & _ABNORMAL_RHYTHMS) and rng.random() < 0.6:
        sentences.append("Abnormal ECG")
    return "".join(f"{sentence}. " for sentence in sentences).strip()


_QUALIFIES = {"ACUTE": {"AMI", "IMI"}, "RECENT": {"AMI", "IMI"}, "OLD": {"AMI", "IMI"}, "STRAIN": {"LVH"}}
_ABNORMAL_RHYTHMS = {"AFIB", "AFLT", "SVARR", "SVTAC", "PSVT"}
_REMARKS = {"RVR", "LAD", "RAD", *_QUALIFIES}


def _statement(code: str, descriptions: Mapping[str, str], rng: np.random.Generator) -> str:
    own_words = descriptions.get(code) if descriptions.get(code) != DESCRIPTIONS.get(code) else None
    choices = (own_words,) if own_words else PHRASINGS.get(code) or (_described(code, descriptions),)
    words = str(choices[int(rng.integers(len(choices)))])
    return words[0].upper() + words[1:]


def _described(code: str, descriptions: Mapping[str, str]) -> str:
    if not descriptions.get(code):
        raise LabelError(
            f"no words for the label {code!r}",
            field="descriptions",
            expected="an entry for every label",
            fix=f'pass descriptions={{**DESCRIPTIONS, "{code}": "its plain words"}}',
        )
    return descriptions[code]


def texts_of(cohort: Cohort, seed: int = 0, translate: bool = True) -> list[str]:
    """One text a record: its report, cleaned and put into English, else one written from its labels.

    Args:
        cohort: the cohort; `cohort.descriptions` names classes of its own.
        seed: seed of the written reports; record i draws from `[seed, i]`, so that leaving a record out changes no
            other.
        translate: put German and Swedish into English.

    Returns:
        Lower-case texts in the cohort's order; "" for a record with neither a report nor labels.

    Raises:
        LabelError: a record without a report has a label without a description.

    Example:
        >>> from ecgscan_lab.types import Cohort, EcgRecord
        >>> record = EcgRecord("1", np.zeros((12, 1000), np.float32), 100.0, report="Sinusrhythmus. Normales EKG.")
        >>> texts_of(Cohort("mine", (record,), {}))
        ['sinus rhythm. normal ecg.']
    """
    descriptions = {**DESCRIPTIONS, **cohort.descriptions}
    texts = []
    for i, record in enumerate(cohort.records):
        text = clean_report(record.report)
        if not text:
            text = clean_report(write_report(record.labels, descriptions, rng=np.random.default_rng([seed, i])))
        elif translate:
            text = translate_german(text)
        texts.append(text)
    return texts


def class_prompts(
    classes: Sequence[str], descriptions: Mapping[str, str] = DESCRIPTIONS, templates: Sequence[str] = TEMPLATES
) -> dict[str, list[str]]:
    """Several prompts a class for zero-shot classification: description and synonyms, each in every template.

    **Source** prompts that describe a class as in MERL (arXiv 2403.06659) and prompt ensembles as in CLIP (A. Radford
    et al., 2021, arXiv 2103.00020). *Differences*: written by hand so that no prompt of a class contradicts or shares
    another's.

    Args:
        classes: class names.
        descriptions: class -> plain words; a class whose words differ from this package's gets no synonyms.
        templates: texts with one `{}`.

    Returns:
        Class -> prompts, lower case, without repeats, in a fixed order.

    Raises:
        LabelError: a class has no description.

    Example:
        >>> class_prompts(["CLBBB"], templates=["{}."])["CLBBB"][:2]
        ['complete left bundle branch block.', 'left bundle branch block.']
    """
    prompts = {}
    for name in classes:
        words = _described(name, descriptions)
        phrases = [words, *(SYNONYMS.get(name, ()) if words == DESCRIPTIONS.get(name) else ())]
        texts = [template.format(phrase).lower() for phrase in phrases for template in templates]
        prompts[name] = list(dict.fromkeys(texts))
    return prompts

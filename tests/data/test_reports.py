"""Reports come out clean, in English, free of personal data, and written ones say what the labels say."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgscan_lab.data.descriptions import PHRASINGS, SUPERCLASS_OF, SUPERCLASSES, SYNONYMS
from ecgscan_lab.data.german import knows_word
from ecgscan_lab.data.reports import (
    DESCRIPTIONS,
    TEMPLATES,
    class_prompts,
    clean_report,
    texts_of,
    translate_german,
    write_report,
)
from ecgscan_lab.data.synthetic import TASKS
from ecgscan_lab.errors import LabelError
from ecgscan_lab.types import Cohort, EcgRecord

UNCONFIRMED = "4.46                          unbestÄtigter bericht"


# ---- cleaning


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (f"sinusrhythmus lagetyp normal normales ekg {UNCONFIRMED}", "sinusrhythmus lagetyp normal normales ecg"),
        (f"schrittmacher ekg {UNCONFIRMED}", "schrittmacher ecg"),
        ("vorhofflimmern/-flattern linkstyp 4.46         unbestÄti", "vorhofflimmern/-flattern linkstyp"),
        ("vorhofflimmern/-flattern linkstyp 4.46         un", "vorhofflimmern/-flattern linkstyp"),
        ("inferiorer infarkt     alter unbest.", "inferiorer infarkt alter unbest."),
        ("sinus rhythm. normal ecg. Edit: NORM 100, (f,26), Sokolow 2,7(NORM 100)", "sinus rhythm. normal ecg."),
        ("r-s #bergang in v ableitungen", "r-s übergang in v ableitungen"),
        ("*** SINUS RHYTHM *** === NORMAL EKG --- ", "sinus rhythm normal ecg"),
        ("trace only requested.", "trace only requested."),
        ("st segments are depressed in i, avl, v4,5,6.", "st segments are depressed in i, avl, v4,5,6."),
        ("vorhofflattern 2:1 - 3:1", "vorhofflattern 2:1 - 3:1"),
        ("pr interval 210 ms. left bundle branch block.", "pr interval 210 ms. left bundle branch block."),
        ("", ""),
    ],
)
def test_clean_report_on_strings_as_they_are_found(raw: str, clean: str) -> None:
    assert clean_report(raw) == clean


@pytest.mark.parametrize(
    ("raw", "gone"),
    [
        ("Sinus rhythm. Compared with 12.03.1991 unchanged.", "1991"),
        ("Sinus rhythm, recorded 1984-11-09 09:17:34.", "1984"),
        ("ischemi som inte fanns på ekg 910218.", "910218"),
        ("compared with tracings of 20 & 21:3:92, it remains similar.", "92"),
        ("56 year old man, sinus rhythm", "56"),
        ("sinusrhythmus, 71 jahre", "71"),
        ("Age: 44 sinus rhythm", "44"),
        ("sinus rhythm (m, 63)", "63"),
        ("Patient: Anna Example. Sinus rhythm.", "anna"),
        ("Reviewed by Dr. Example: sinus rhythm", "example"),
        ("Name: John Q Public, sinus rhythm", "public"),
        ("sinus rhythm, record 00123456", "123456"),
    ],
)
def test_clean_report_removes_what_could_point_at_a_person(raw: str, gone: str) -> None:
    clean = clean_report(raw)
    assert gone not in clean
    assert "rhythm" in clean or "rhythmus" in clean or "similar" in clean or "ischemi" in clean


@given(st.text(alphabet="abcäöüß ABC.,;:-*=()/&0123456789\n\tekgEKGunbestätigter", max_size=80))
def test_clean_report_is_idempotent_and_lower_case(text: str) -> None:
    once = clean_report(text)
    assert clean_report(once) == once == once.lower() == once.strip()
    assert "  " not in once
    assert "*" not in once


# ---- translating


@pytest.mark.parametrize(
    ("german", "english"),
    [
        ("sinusrhythmus normales ecg", "sinus rhythm normal ecg"),
        ("sinusrhythmus lagetyp normal normales ecg", "sinus rhythm normal axis normal ecg"),
        ("sinusbradykardie sonst normales ekg", "sinus bradycardia otherwise normal ecg"),
        ("sinusrhythmus linkstyp", "sinus rhythm leftward axis"),
        ("vorhofflimmern/-flattern lagetyp normal", "atrial fibrillation/flutter normal axis"),
        (
            "tachykardes vorhofflimmern linkstyp linksschenkelblock linkshypertrophie möglich",
            (
                "atrial fibrillation with rapid ventricular response leftward axis left bundle branch block"
                " left ventricular hypertrophy possible"
            ),
        ),
        (
            "ueberdrehter linkstyp linksanteriorer hemiblock rechtsschenkelblock bifaszikulärer block",
            "left axis deviation left anterior hemiblock right bundle branch block bifascicular block",
        ),
        ("überdrehter linkstyp", "left axis deviation"),
        (
            "st & t abnorm, wahrscheinlich anterolaterale ischämie oder linksbelastung",
            "st & t abnormal, probably anterolateral ischemia or left ventricular strain",
        ),
        (
            "qrs(t) abnorm inferiorer infarkt wahrscheinlich alt",
            "qrs(t) abnormal inferior infarction probably old",
        ),
        ("anteroseptaler infarkt alter unbest.", "anteroseptal infarction of undetermined age"),
        ("inferiorer myokardschaden nicht auszuschliessen", "inferior myocardial damage cannot be excluded"),
        ("sinusrhythmus a-v block i", "sinus rhythm first degree av block"),
        ("unvollständiger rechtsschenkelblock", "incomplete right bundle branch block"),
        ("unspezifische intraventrikuläre leitungsstörung", "non-specific intraventricular conduction disturbance"),
        ("erregungsausbreitungsstörung", "conduction disturbance"),
        ("ventrikuläre extrasystole(n) unspezifisches abnormes t", "ventricular extrasystoles non-specific abnormal t"),
        (
            "mässige amplitudenkriterien für linkshypertrophie",
            "moderate voltage criteria for left ventricular hypertrophy",
        ),
        ("periphere niederspannung st-senkung in v3-6", "low limb lead voltage st depression in v3-6"),
        ("inferiorer infarkt mögl. akut", "inferior infarction possibly acute"),
        ("sinusrytm vänster kammarhypertrofi", "sinus rhythm left ventricular hypertrophy"),
    ],
)
def test_translation_of_recurrent_statements(german: str, english: str) -> None:
    assert translate_german(german) == english
    assert translate_german(english) == english


def test_translation_leaves_english_and_unknown_words_alone() -> None:
    for text in (
        "sinus rhythm. normal ecg.",
        "atrial fibrillation with rapid ventricular response. non-specific st-t wave changes.",
        "findings are likely to be due to ischaemic heart disease.",
        "xyzzy 12 mm, q in ii, iii, avf",
        "",
    ):
        assert translate_german(text) == text


def test_translation_does_not_join_words_across_sentences() -> None:
    assert translate_german("lagetyp. normales ecg") == "axis. normal ecg"


@pytest.mark.real
def test_glossary_covers_the_german_of_ptbxl(real_data: Path) -> None:
    with (real_data / "tables" / "ptbxl_database.csv").open(encoding="utf-8") as table:
        texts = [clean_report(row["report"]) for row in csv.DictReader(table)]
    word = re.compile(r"[^\W\d_]+")
    english_only = re.compile(r"\b(?:are|is|with|the|of|consistent|rhythm|fibrillation|definite|and|infarction)\b")
    german_sign = re.compile(r"[äöü]|rhythmus|oder|typ\b")
    english = [t for t in texts if english_only.search(t) and not german_sign.search(t)]
    foreign = [t for t in texts if t and t not in set(english)]
    assert len(foreign) > 1500
    shared = {w for w, n in Counter(w for t in english for w in word.findall(t)).items() if n > 1} | {
        "n"
    }  # "extrasystole(n)"
    words = [w for t in foreign for w in word.findall(t) if knows_word(w) or w not in shared]
    assert np.mean([knows_word(w) for w in words]) > 0.97
    assert all(translate_german(translate_german(t)) == translate_german(t) for t in texts)
    assert not [t for t in texts if "bericht" in t or "edit" in t or re.search(r"\d{5}", t)]
    kept = sum(translate_german(t) == t for t in english)
    assert kept / len(english) > 0.99


# ---- descriptions


def test_every_code_of_the_synthetic_tasks_has_words() -> None:
    assert {code for classes in TASKS.values() for code in classes} <= set(DESCRIPTIONS)
    assert set(PHRASINGS) | set(SYNONYMS) | set(SUPERCLASS_OF) | set(SUPERCLASSES) <= set(DESCRIPTIONS)
    assert set(SUPERCLASS_OF.values()) == {"MI", "STTC", "CD", "HYP"}
    assert all(words and words == words.strip() and not words.endswith(".") for words in DESCRIPTIONS.values())


@pytest.mark.real
def test_every_statement_and_label_of_ptbxl_has_words(real_data: Path) -> None:
    with (real_data / "tables" / "scp_statements.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 71
    assert {row[""] for row in rows} <= set(DESCRIPTIONS)
    for row in rows:
        if row["diagnostic_class"] not in ("", "NORM"):
            assert SUPERCLASS_OF[row[""]] == row["diagnostic_class"]
            assert row["diagnostic_subclass"] in DESCRIPTIONS
    with (real_data / "tables" / "cohort.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            for task in ("superclass", "subclass", "form", "rhythm"):
                assert set(filter(None, row[task].split(";"))) <= set(DESCRIPTIONS)


# ---- writing


def all_reports(labels: dict[str, tuple[str, ...]], n: int = 60) -> list[str]:
    return [write_report(labels, rng=np.random.default_rng(seed)) for seed in range(n)]


def test_rhythm_comes_first_and_the_superclass_only_when_nothing_explains_it() -> None:
    explained = all_reports({"superclass": ("CD",), "rhythm": ("SR",), "subclass": ("CLBBB",)})
    assert all(re.match(r"(?:Normal s|S)inus rhythm\.|Rhythm is sinus\.", text) for text in explained)
    assert not any("onduction disturbance" in text for text in explained)
    assert len(set(explained)) > 4
    bare = all_reports({"superclass": ("MI", "CD"), "form": ("PVC",)})
    assert all("Myocardial infarction." in text and "Conduction disturbance." in text for text in bare)


def test_normal_is_said_only_when_nothing_contradicts_it() -> None:
    assert all(text.endswith(" Normal ECG.") for text in all_reports({"superclass": ("NORM",), "rhythm": ("SR",)}))
    slow = all_reports({"superclass": ("NORM",), "rhythm": ("SBRAD",), "diagnosis": ("SBRAD",)})
    assert all(text.endswith(" Otherwise normal ECG.") and text.count("radycardia") == 1 for text in slow)
    for labels in ({"superclass": ("NORM", "CD"), "rhythm": ("SR",)}, {"diagnosis": ("NORM", "IMI")}):
        assert not any("ormal ECG" in text.replace("Abnormal ECG", "") for text in all_reports(labels))


def test_a_stage_follows_its_infarct_and_strain_its_hypertrophy() -> None:
    labels = {"rhythm": ("SR",), "diagnosis": ("IMI",), "form": ("PVC",), "remark": ("OLD", "LAD")}
    for text in all_reports(labels):
        sentences = text.split(". ")
        stage = next(i for i, sentence in enumerate(sentences) if "old" in sentence)
        assert "nferior" in sentences[stage - 1]
        assert sentences[1] == "Left axis deviation"


def test_a_report_from_no_labels_is_empty_and_an_unknown_code_is_named() -> None:
    rng = np.random.default_rng(0)
    assert write_report({}, rng=rng) == "" == write_report({"superclass": ()}, rng=rng)
    with pytest.raises(LabelError, match="XYZ") as caught:
        write_report({"mine": ("XYZ",)}, rng=rng)
    assert "descriptions" in str(caught.value)
    assert write_report({"mine": ("XYZ",)}, {"XYZ": "peculiar beat"}, rng=rng) == "Peculiar beat."


# ---- texts and prompts


def record(record_id: str, report: str = "", **labels: tuple[str, ...]) -> EcgRecord:
    return EcgRecord(record_id, np.zeros((12, 100), dtype=np.float32), 100.0, labels=labels, report=report)


def test_texts_are_cleaned_reports_or_written_ones_record_by_record() -> None:
    german, written, empty = (
        record("1", "Sinusrhythmus. Normales EKG. 4.46 unbestätigter Bericht"),
        record("2", rhythm=("AFIB",)),
        record("3"),
    )
    texts = texts_of(Cohort("mine", (german, written, empty), {}))
    assert texts[0] == "sinus rhythm. normal ecg."
    assert "fibrillation" in texts[1]
    assert texts[2] == ""
    assert texts_of(Cohort("mine", (german,), {}), translate=False) == ["sinusrhythmus. normales ecg."]
    many = Cohort("mine", tuple(record(str(i), rhythm=("SR",), diagnosis=("AMI",)) for i in range(30)), {})
    assert texts_of(many) == texts_of(many) != texts_of(many, seed=1)
    assert texts_of(many)[:7] == texts_of(Cohort("mine", many.records[:7], {}))
    own = Cohort("mine", (record("1", mine=("BOX",)),), {"mine": ("BOX",)}, descriptions={"BOX": "boxed complex"})
    assert texts_of(own) == ["boxed complex."]


def test_prompts_are_many_lower_case_distinct_and_not_shared_between_superclasses() -> None:
    prompts = class_prompts(SUPERCLASSES)
    assert list(prompts) == list(SUPERCLASSES)
    every = [text for texts in prompts.values() for text in texts]
    assert len(every) == len(set(every))
    assert all(text == text.lower() and "{" not in text for text in every)
    assert all(len(texts) >= 3 * len(TEMPLATES) for texts in prompts.values())
    assert any("old inferior infarct" in text for text in prompts["MI"])
    assert any("left bundle branch block" in text for text in prompts["CD"])
    assert not any(re.search(r"infarct|block|hypertrophy|abnormal", text) for text in prompts["NORM"])


def test_prompts_of_rhythms_do_not_contradict_each_other() -> None:
    prompts = class_prompts(TASKS["rhythm"])
    assert not any("tachy" in text or "brady" in text for text in prompts["SR"])
    assert not any("tachy" in text or "fast" in text for text in prompts["SBRAD"])
    assert not any("brady" in text or "slow" in text for text in prompts["STACH"])
    assert not any("sinus" in text for name in ("AFIB", "AFLT") for text in prompts[name])


def test_prompts_need_words_and_take_ones_own() -> None:
    with pytest.raises(LabelError, match="BOX"):
        class_prompts(["BOX"])
    assert class_prompts(["BOX"], {"BOX": "boxed complex"}, ["ecg with {}"]) == {"BOX": ["ecg with boxed complex"]}
    assert class_prompts(["MI"], {"MI": "mitral insufficiency"}, ["{}"]) == {"MI": ["mitral insufficiency"]}

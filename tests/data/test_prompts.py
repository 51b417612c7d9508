"""Every class of every task has prompts of its own that do not contradict it; published files are read as published."""

from __future__ import annotations

import json
import re

import pytest

from ecgscan_lab.data.code import CODE_CLASSES
from ecgscan_lab.data.corpora import read_ptbxl_tables
from ecgscan_lab.data.cpsc import CPSC_CLASSES
from ecgscan_lab.data.csn import CSN_CLASSES
from ecgscan_lab.data.prompt_phrases import PROMPT_PHRASES
from ecgscan_lab.data.prompts import builtin_prompts, read_prompts
from ecgscan_lab.errors import LabelError, TableError

SIZES = {"superclass": 5, "subclass": 23, "form": 19, "rhythm": 12, "cpsc2018": 9, "csn": 38, "code": 6}
ABNORMAL = (
    r"tachy|brady|block|fibrill|flutter|infarct|ischemi|hypertroph|\bST\b|depress|elevat|premature|deviation|"
    r"arrhythm|dysfunction|\babnormal|prolonged|paced|ectop|extrasyst"
)
# (task or None for all, class, what none of its prompts may say)
CONTRADICTIONS = [
    (None, "NORM", ABNORMAL),
    (None, "SR", ABNORMAL),
    (None, "SBRAD", r"tachy|fast|above|fibrill|flutter|prematur"),
    (None, "STACH", r"brady|slow|below|supraventricular|atrial|junction"),
    (None, "SB", r"tachy|fast|above"),
    (None, "ST", r"brady|slow|below|supraventricular"),
    (None, "SARRH", r"tachy|brady|fibrill"),
    (None, "SA", r"tachy|brady|fibrill"),
    (None, "AFIB", r"flutter|sinus"),
    (None, "AFLT", r"fibrill|sinus"),
    ("csn", "AF", r"fibrill|sinus"),
    ("code", "AF", r"flutter|sinus"),
    (None, "STD", r"elevat|raised"),
    (None, "STDD", r"elevat|raised"),
    (None, "STE", r"depress"),
    (None, "STTU", r"depress"),
    ("csn", "CR", r"counter|against"),
    ("csn", "CCR", r"(?<!counter)clockwise|late R"),
    (None, "ALS", r"right"),
    (None, "ARS", r"left"),
    (None, "CLBBB", r"right|incomplete|partial|fascic|hemiblock"),
    (None, "LBBB", r"right|incomplete|partial|fascic|hemiblock"),
    (None, "CRBBB", r"left|incomplete|partial"),
    (None, "RBBB", r"left|incomplete|partial"),
    (None, "ILBBB", r"right|(?<!in)complete\b"),
    (None, "IRBBB", r"left|(?<!in)complete\b"),
    (None, "LVH", r"right|atrial|septal"),
    (None, "RVH", r"left|atrial|septal"),
    (None, "LAO/LAE", r"right|ventric"),
    (None, "RAO/RAE", r"left|ventric"),
    (None, "AMI", r"inferior|posterior"),
    (None, "IMI", r"anter|posterior"),
    (None, "LMI", r"inferior|posterior|anter"),
    (None, "PMI", r"anter|inferior|lateral"),
    (None, "ISCA", r"inferior"),
    (None, "ISCI", r"anter"),
    (None, "PAC", r"ventric|junction"),
    (None, "APB", r"ventric|junction"),
    (None, "PVC", r"atrial|junction|escape"),
    (None, "VPC", r"atrial|junction|escape"),
    (None, "VPB", r"atrial|junction|escape"),
    (None, "VEB", r"premature|junction|atrial"),
    (None, "JEB", r"premature|(?<!\w)ventricular|atrial"),
    (None, "LVOLT", r"high|tall|large"),
    (None, "HVOLT", r"low|small"),
    (None, "1AVB", r"second|third|complete|mobitz"),
    (None, "1dAVb", r"second|third|complete|mobitz"),
    (None, "2AVB", r"first|third|complete"),
    (None, "2AVB1", r"type II|first|third"),
    (None, "BIGU", r"third|trigem"),
    (None, "TRIGU", r"second|bigem"),
]  # fmt: skip


@pytest.mark.parametrize("task", PROMPT_PHRASES)
def test_every_class_has_phrases_of_its_own(task):
    phrases = PROMPT_PHRASES[task]
    assert len(phrases) == SIZES[task]
    everything = [phrase.lower() for of_class in phrases.values() for phrase in of_class]
    assert len(set(everything)) == len(everything)
    assert all(len(of_class) >= 3 for of_class in phrases.values())
    assert all(phrase == phrase.strip() and "|" not in phrase and not phrase.endswith(".") for phrase in everything)


def test_the_classes_are_those_of_the_corpora():
    assert set(PROMPT_PHRASES["cpsc2018"]) == set(CPSC_CLASSES)
    assert set(PROMPT_PHRASES["csn"]) == set(CSN_CLASSES)
    assert set(PROMPT_PHRASES["code"]) == set(CODE_CLASSES)


@pytest.mark.real
def test_the_classes_are_those_of_ptbxl(real_data, ptbxl_dir):
    tasks = read_ptbxl_tables(ptbxl_dir)[1]
    for task, classes in tasks.items():
        assert set(PROMPT_PHRASES[task]) == set(classes)


def test_no_prompt_contradicts_its_class():
    checked = set()
    for only, name, pattern in CONTRADICTIONS:
        for task in PROMPT_PHRASES if only is None else [only]:
            for phrase in PROMPT_PHRASES[task].get(name, ()):
                assert not re.search(pattern, phrase, re.IGNORECASE), (task, name, phrase)
                checked.add(name)
    assert checked == {name for _, name, _ in CONTRADICTIONS}


def test_the_check_would_have_seen_the_published_contradiction():
    assert re.search(ABNORMAL, "normal ECG, Sinus rhythm, Sinus tachycardia, Sinus bradycardia.")


def test_no_phrase_names_another_class_of_its_task():
    """A phrase may hold another class's name only where its class is a kind of that other one."""
    kinds = {
        ("AVB", "1AVB"), ("AVB", "2AVB"), ("STTC", "NST"), ("ISC", "ISCA"), ("ISC", "ISCI"), ("LVH", "VCLVH"),
        ("SR", "SBRAD"), ("SR", "STACH"), ("SR", "SARRH"), ("SR", "SA"), ("SR", "ST"), ("SVTAC", "PSVT"),
        ("PRC(S)", "PAC"), ("PRC(S)", "PVC"), ("CLBBB", "ILBBB"), ("CRBBB", "IRBBB"), ("MI", "AMI"), ("AQW", "MI"),
    }  # fmt: skip
    for task, classes in PROMPT_PHRASES.items():
        for other, (name, *_) in classes.items():
            word = re.compile(rf"(?<!\w){re.escape(name.lower())}(?!\w)")
            for this, phrases in classes.items():
                if this != other and (other, this) not in kinds:
                    assert not [p for p in phrases if word.search(p.lower())], (task, this, other)


def test_prompts_are_phrases_in_templates():
    prompts = builtin_prompts("code", ["ST", "AF"], templates=["a {}.", "{} b"])
    assert list(prompts) == ["ST", "AF"]
    assert prompts["ST"][:2] == ["a sinus tachycardia.", "sinus tachycardia b"]
    assert all(text == text.lower() for texts in prompts.values() for text in texts)
    assert min(len(texts) for texts in builtin_prompts("csn").values()) >= 15


def test_unknown_tasks_and_classes_are_named():
    with pytest.raises(LabelError, match="'nonsense'"):
        builtin_prompts("nonsense")
    with pytest.raises(LabelError, match="XYZ"):
        builtin_prompts("code", ["AF", "XYZ"])


def test_published_layouts_are_read(tmp_path):
    merl, dbeta = tmp_path / "merl.json", tmp_path / "context.json"
    merl.write_text(json.dumps({"NORM": "normal ECG, Sinus rhythm.", "AF": "Atrial Flutter"}))
    dbeta.write_text(json.dumps({"af": "A Paragraph. Of text, with commas.", "norm": "Other"}), encoding="utf-8-sig")
    assert read_prompts(merl) == {"NORM": ["normal ecg, sinus rhythm."], "AF": ["atrial flutter"]}
    assert read_prompts(merl, ["NORM"], split_commas=True) == {"NORM": ["normal ecg", "sinus rhythm"]}
    assert list(read_prompts(dbeta, ["AF", "NORM"])) == ["AF", "NORM"]  # case does not matter where it is clear
    (tmp_path / "own.json").write_text(json.dumps({"AF": ["one", "two", "One"]}))
    assert read_prompts(tmp_path / "own.json") == {"AF": ["one", "two"]}
    with pytest.raises(LabelError, match="SB"):
        read_prompts(merl, ["AF", "SB"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not json",
        '{"a": 1}',
        '{"a": []}',
        '{"a": [1]}',
        '{"a": " "}',
        '{"a": "x", "a": "y"}',
        "[" * 9999,
    ],
)
def test_unreadable_prompt_files_are_typed_errors(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(TableError):
        read_prompts(tmp_path / "p.json")


@pytest.mark.real
def test_the_published_file_covers_every_task(real_data):
    path = real_data / "other" / "metadata" / "merl" / "zeroshot" / "CKEPE_prompt.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    prompts = read_prompts(path)
    assert len(prompts) == 131
    for task in ("superclass", "subclass", "form", "rhythm", "cpsc2018", "csn"):
        assert [len(texts) for texts in read_prompts(path, list(PROMPT_PHRASES[task])).values()] == [1] * SIZES[task]

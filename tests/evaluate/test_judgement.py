"""Several encoders judged side by side, and the tasks that cannot be judged."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from ecgscan_lab.data.reports import class_prompts
from ecgscan_lab.errors import SplitError
from ecgscan_lab.evaluate.judgement import labelled, probe_encoders, side_by_side, zero_shot_tasks
from ecgscan_lab.types import Cohort, EcgRecord

N = 120
SPLIT = ["train"] * 60 + ["val"] * 30 + ["test"] * 30
TASKS = {
    "superclass": ("NORM", "MI"),
    "never": ("AFIB",),
    "untested": ("LVH", "RVH"),
    "unvalidated": ("LVH", "RVH"),
    "one_patient": ("LVH", "RVH"),
}


def labels_of(i: int) -> dict[str, tuple[str, ...]]:
    """Alternating labels; every fifth record is unlabelled; other tasks stop short of a split."""
    labels: dict[str, tuple[str, ...]] = {"superclass": () if i % 5 == 0 else (TASKS["superclass"][i % 2],)}
    either = (("LVH", "RVH")[i % 2],)
    if SPLIT[i] != "test":
        labels["untested"] = either
    if SPLIT[i] != "val":
        labels["unvalidated"] = either
    if SPLIT[i] != "test" or i >= N - 2:  # the last two records are those of one patient
        labels["one_patient"] = either
    return labels


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    flat = np.zeros((12, 10), np.float32)
    records = tuple(
        EcgRecord(f"r{i}", flat, 100.0, f"p{min(i, N - 2)}", labels_of(i), split=SPLIT[i]) for i in range(N)
    )
    return Cohort("by hand", records, TASKS, descriptions={"NORM": "normal", "MI": "infarction"})


@pytest.fixture(scope="module")
def features(cohort) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    informed = cohort.targets("superclass") + 0.1 * rng.normal(size=(N, 2))
    return {"pretrained": informed.astype(np.float32), "random_init": rng.normal(size=(N, 3)).astype(np.float32)}


class WordTower:
    """A text tower of two words."""

    name, embed_dim = "words", 2

    def encode_text(self, texts: list[str]) -> np.ndarray:
        return np.array([["normal" in text, "infarct" in text] for text in texts], np.float32) + np.float32(0.01)


class TurningModel:
    """A model whose shared space is the text tower's with the axes swapped."""

    def project_texts(self, text_features: np.ndarray) -> np.ndarray:
        return text_features[:, ::-1]


def test_records_without_a_label_of_the_task_are_not_judged(cohort):
    assert labelled(cohort, "superclass").tolist() == [i for i in range(N) if i % 5]
    assert labelled(cohort, "never").tolist() == []
    assert labelled(cohort, "untested").tolist() == list(range(90))


def test_every_encoder_is_probed_on_the_same_records(cohort, features):
    table = probe_encoders(features, cohort, n_bootstrap=20)
    assert list(table) == ["superclass"], "what cannot be judged is left out"
    assert list(table["superclass"]) == ["pretrained", "random_init"]
    pretrained, random_init = table["superclass"].values()
    assert (pretrained.n_train, pretrained.n_val, pretrained.n_test) == (48, 24, 24)
    assert np.array_equal(pretrained.targets, random_init.targets)
    assert pretrained.macro_auroc == 100.0
    assert random_init.macro_auroc < 90.0
    assert list(pretrained.per_class) == ["NORM", "MI"]


def test_the_same_seed_gives_the_same_table(cohort, features):
    assert probe_encoders(features, cohort, n_bootstrap=20) == probe_encoders(features, cohort, n_bootstrap=20)


def test_a_patient_in_two_splits_is_never_passed_over(cohort, features):
    records = list(cohort.records)
    records[-1] = dataclasses.replace(records[-1], patient_id=records[1].patient_id)
    with pytest.raises(SplitError, match="both train and test"):
        probe_encoders(features, dataclasses.replace(cohort, records=tuple(records)), n_bootstrap=5)


def test_zero_shot_embeds_prompts_and_judges_the_test_split(cohort):
    tasks = {name: TASKS[name] for name in ("superclass", "never", "untested", "one_patient")}
    words = {"NORM": "normal", "MI": "infarction", "AFIB": "fibrillation", "LVH": "left", "RVH": "right"}
    judged = dataclasses.replace(cohort, tasks=tasks, descriptions=words)
    embeddings = judged.targets("superclass")[:, ::-1] + 0.1
    table = zero_shot_tasks(TurningModel(), embeddings, WordTower(), judged, n_bootstrap=20)
    assert list(table) == ["superclass"]
    result = table["superclass"]
    assert result.n_test == 24
    assert result.macro_auroc == 100.0
    assert list(result.per_class) == ["NORM", "MI"]
    turned = zero_shot_tasks(TurningModel(), embeddings[:, ::-1], WordTower(), judged, n_bootstrap=20)
    assert turned["superclass"].macro_auroc == 0.0
    assert set(class_prompts(TASKS["superclass"], words)) == set(result.per_class)


def test_side_by_side_is_what_results_json_holds(cohort, features):
    table = side_by_side(probe_encoders(features, cohort, n_bootstrap=20), "pretrained")
    assert list(table) == ["superclass"]
    figures = table["superclass"]
    assert figures["macro_auroc"] == 100.0
    assert figures["ci95"] == [100.0, 100.0]
    assert figures["n_defined"] == figures["n_classes"] == 2
    assert {"macro_auroc", "ci95", "n_defined"} <= set(figures["random_init"])
    assert figures["random_init"]["macro_auroc"] < 90.0
    assert "pretrained" not in figures
    assert json.loads(json.dumps(table)) == table

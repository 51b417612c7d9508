from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ecgscan_lab.data.cpsc import CPSC_CLASSES
from ecgscan_lab.data.csn import CSN_CLASSES
from ecgscan_lab.errors import ArgumentError, LabelError
from ecgscan_lab.evaluate.shift import SHIFT_TASKS, class_map, probe_shift, zero_shot_shift
from ecgscan_lab.evaluate.zero_shot import zero_shot

SUPER = ("NORM", "MI", "STTC", "CD", "HYP")
CLASSES = {"PTBXL-Super": SUPER, "CPSC2018": CPSC_CLASSES, "CSN": CSN_CLASSES}


@dataclass
class Corpus:
    """What the functions ask of a corpus."""

    name: str
    labels: np.ndarray
    split: np.ndarray

    @property
    def tasks(self):
        return {SHIFT_TASKS[self.name]: CLASSES[self.name]}

    @property
    def patients(self):
        return np.arange(len(self.labels)) // 2

    def indices(self, split):
        return np.flatnonzero(self.split == split)

    def targets(self, task):
        assert task == SHIFT_TASKS[self.name]
        return self.labels


def corpus(name, n, seed):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, len(CLASSES[name]))) < 0.3).astype(np.int8)
    labels[~labels.any(axis=1), 0] = 1
    split = np.repeat(["train", "val", "test"], [n // 2, n // 4, n - n // 2 - n // 4])
    return Corpus(name, labels, split)


def planted(data, classes, noise, seed):
    """A feature a source class: high where the record carries what counts as it."""
    rng = np.random.default_rng(seed)
    columns = [data.labels[:, [CLASSES[data.name].index(c) for c in names]].any(axis=1) for names in classes]
    return np.stack(columns, axis=1) + rng.normal(scale=noise, size=(len(data.labels), len(columns)))


def test_every_map_names_classes_of_both_corpora_and_inverts():
    for source in CLASSES:
        for target in CLASSES:
            if source == target:
                continue
            pairs = class_map(source, target)
            assert set(pairs) <= set(CLASSES[source])
            assert {name for names in pairs.values() for name in names} <= set(CLASSES[target])
            back = class_map(target, source)
            assert {(a, b) for a, names in pairs.items() for b in names} == {
                (a, b) for b, names in back.items() for a in names
            }


def test_the_sizes_of_the_maps_are_the_published_ones():
    assert len(class_map("PTBXL-Super", "CPSC2018")) == 3
    assert sum(map(len, class_map("PTBXL-Super", "CSN").values())) == 17
    assert class_map("CPSC2018", "CSN")["STD"] == ("STE", "STTC", "STTU", "STDD")


def test_a_probe_carries_over_where_the_feature_does_and_is_chance_where_it_does_not():
    pairs = class_map("PTBXL-Super", "CPSC2018")
    source, target = corpus("PTBXL-Super", 600, 0), corpus("CPSC2018", 400, 1)
    seen = planted(source, [(name,) for name in pairs], 0.2, 2)
    carried = planted(target, list(pairs.values()), 0.2, 3)
    cell = probe_shift(seen, source, carried, target, "PTBXL-Super", "CPSC2018", merge="any", n_bootstrap=50)
    assert cell.macro_auroc > 95
    assert cell.ci95[0] <= cell.macro_auroc <= cell.ci95[1]
    assert (cell.n_pairs, cell.n_test) == (3, 100)
    noise = np.random.default_rng(4).normal(size=carried.shape)
    lost = probe_shift(seen, source, noise, target, "PTBXL-Super", "CPSC2018", merge="any", n_bootstrap=50)
    assert 35 < lost.macro_auroc < 65


def test_each_judges_every_pair_and_any_every_source_class():
    pairs = class_map("PTBXL-Super", "CPSC2018")
    source, target = corpus("PTBXL-Super", 300, 0), corpus("CPSC2018", 200, 1)
    seen, carried = planted(source, [(n,) for n in pairs], 0.2, 2), planted(target, list(pairs.values()), 0.2, 3)
    each = probe_shift(seen, source, carried, target, "PTBXL-Super", "CPSC2018", n_bootstrap=5)
    assert list(each.per_pair) == [
        "NORM > NORM", "CD > 1AVB", "CD > CRBBB", "CD > CLBBB", "STTC > STE", "STTC > STD"
    ]  # fmt: skip
    whole = probe_shift(seen, source, carried, target, "PTBXL-Super", "CPSC2018", merge="any", n_bootstrap=5)
    assert "CD > 1AVB or CRBBB or CLBBB" in whole.per_pair
    assert whole.per_pair["NORM > NORM"] == each.per_pair["NORM > NORM"]
    assert each.as_dict()["merge"] == "each"


def test_no_label_of_the_target_reaches_the_probe():
    pairs = class_map("PTBXL-Super", "CPSC2018")
    source, target = corpus("PTBXL-Super", 300, 0), corpus("CPSC2018", 200, 1)
    seen, carried = planted(source, [(n,) for n in pairs], 0.2, 2), planted(target, list(pairs.values()), 0.2, 3)
    before = probe_shift(seen, source, carried, target, "PTBXL-Super", "CPSC2018", n_bootstrap=5)
    target.labels = 1 - target.labels
    after = probe_shift(seen, source, carried, target, "PTBXL-Super", "CPSC2018", n_bootstrap=5)
    for pair, area in before.per_pair.items():
        assert after.per_pair[pair] == pytest.approx(100.0 - area)


def test_a_zero_shot_cell_is_the_mean_over_the_mapped_target_classes():
    target = corpus("CPSC2018", 200, 1)
    images = np.random.default_rng(0).normal(size=(200, 9))
    result = zero_shot(images, np.eye(9), target.labels, class_names=CPSC_CLASSES, n_bootstrap=5)
    cell = zero_shot_shift(result, CPSC_CLASSES, target.patients, "PTBXL-Super", "CPSC2018", n_bootstrap=5)
    named = ("NORM", "1AVB", "CRBBB", "CLBBB", "STE", "STD")
    assert cell.macro_auroc == pytest.approx(np.mean([result.per_class[name] for name in named]))
    assert (cell.n_pairs, cell.method) == (6, "zero-shot")


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ArgumentError, match="no class map"):
        class_map("CSN", "CODE-test")
    source, target = corpus("PTBXL-Super", 60, 0), corpus("CPSC2018", 40, 1)
    features = np.zeros((60, 3)), np.zeros((40, 4))
    with pytest.raises(ArgumentError, match="features of shape"):
        probe_shift(features[0], source, features[1], target, "PTBXL-Super", "CPSC2018")
    with pytest.raises(ArgumentError, match="merge"):
        probe_shift(features[0], source, features[0], target, "PTBXL-Super", "CPSC2018", merge="both")  # type: ignore[arg-type]
    result = zero_shot([[1, 2], [2, 1], [1, 3], [3, 1]], np.eye(2), [[0, 1], [1, 0], [0, 1], [1, 0]], n_bootstrap=2)
    with pytest.raises(LabelError, match="no class"):
        zero_shot_shift(result, ("a", "b"), None, "PTBXL-Super", "CPSC2018")

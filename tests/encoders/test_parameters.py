"""Parameters counted, and held against the paper's sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ecgscan_lab.encoders.lora import add_lora
from ecgscan_lab.encoders.parameters import PAPER, compare_with_paper, count_parameters
from ecgscan_lab.encoders.towers import image_tower


def test_the_paper_s_sizes_are_those_of_the_facts():
    millions = {part: round(number / 1e6, 2) for part, number in PAPER.items()}
    assert millions == {
        "image tower": 303.51,
        "LoRA on q, k, v, o": 3.15,
        "LoRA on q, k, v, o, fc1, fc2": 7.08,
        "LoRA on fused attention": 2.36,
        "Proj_ctr": 0.79,
        "Proj_rec": 0.79,
        "Proj_txt": 0.59,
        "decoder": 86.09,
    }


def test_parts_add_up_and_shared_weights_count_once():
    module = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2), "c": nn.ReLU()})
    module["b"].weight = module["a"].weight
    module["a"].bias.requires_grad_(False)
    module.register_parameter("own", nn.Parameter(torch.zeros(5)))
    table = count_parameters(module).set_index("part")
    assert table.loc["a"].tolist() == [8, 6]
    assert table.loc["b"].tolist() == [2, 2]
    assert table.loc["(itself)"].tolist() == [5, 5]
    assert table.loc["whole"].tolist() == [15, 13]
    assert "c" not in table.index


def test_adapters_are_a_row_of_their_own(write_clip):
    pytest.importorskip("peft")
    pytest.importorskip("transformers")
    tower = image_tower("clip", weights=write_clip())
    plain = int(count_parameters(tower).total.iloc[-1])
    report = add_lora(tower)
    table = count_parameters(tower).set_index("part")
    assert table.loc["of which adapters"].tolist() == [report.n_parameters] * 2
    assert table.loc["whole"].tolist() == [plain + report.n_parameters, report.n_parameters]


@pytest.mark.parametrize(
    ("targets", "row"), [("attention", "LoRA on q, k, v, o"), ("attention+mlp", "LoRA on q, k, v, o, fc1, fc2")]
)
def test_ours_stands_beside_the_paper_s(targets, row, write_clip):
    pytest.importorskip("peft")
    pytest.importorskip("transformers")
    model = nn.Module()
    model.tower = image_tower("clip", weights=write_clip())
    model.project_text = nn.Linear(768, 768)
    plain = sum(p.numel() for p in model.tower.parameters())
    report = add_lora(model.tower, targets=targets)
    table = compare_with_paper(model).set_index("part")
    assert table.loc[row, "ours"] == report.n_parameters
    assert table.loc["image tower", "ours"] == plain
    assert table.loc["Proj_txt", "difference"] == 0
    assert table.ours.isna().sum() == len(PAPER) - 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "targets", "row"),
    [
        ("clip-vit-l-14-336", "attention", "LoRA on q, k, v, o"),
        ("clip-vit-l-14-336", "attention+mlp", "LoRA on q, k, v, o, fc1, fc2"),
        ("open_clip:ViT-L-14-336-quickgelu", "attention", "LoRA on fused attention"),
    ],
)
def test_the_full_tower_has_the_paper_s_numbers(name, targets, row):
    pytest.importorskip("peft")
    pytest.importorskip("open_clip")
    tower = image_tower(name)
    add_lora(tower, rank=16, alpha=32, targets=targets)
    table = compare_with_paper(tower).set_index("part")
    assert table.loc[[row, "image tower"], "difference"].tolist() == [0, 0]

"""LoRA: what is adapted, what learns, and that merging changes nothing."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from ecgscan_lab.encoders.lora import (
    FUSED,
    adapter_state,
    add_lora,
    has_adapters,
    lora_report,
    merge_lora,
    unmerge_lora,
)
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.errors import ArgumentError, MissingExtraError

pytest.importorskip("peft")
pytest.importorskip("transformers")

LAYERS, DIM, MLP = 2, 32, 80


class FusedTower(nn.Module):
    """Two blocks of PyTorch's fused attention, the shape of open_clip's towers."""

    size = (16, 16)
    name = "fused"

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, DIM, 8, 8)
        self.blocks = nn.ModuleList()
        for _ in range(LAYERS):
            block = nn.Module()
            block.attn = nn.MultiheadAttention(DIM, 4, batch_first=True)
            block.mlp = nn.Sequential()
            block.mlp.add_module("c_fc", nn.Linear(DIM, MLP))
            block.mlp.add_module("gelu", nn.GELU())
            block.mlp.add_module("c_proj", nn.Linear(MLP, DIM))
            self.blocks.append(block)
        self.unused = nn.Linear(DIM, DIM)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.embed(images.float() / 255).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = x + block.attn(x, x, x, need_weights=False)[0]
            x = x + block.mlp(x)
        return x.mean(1)


@pytest.fixture
def fused() -> FusedTower:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FusedTower().eval()


@pytest.fixture
def clip(write_clip):
    return image_tower("clip", weights=write_clip()).eval()


@pytest.fixture
def page() -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def stir(module: nn.Module) -> None:
    """Give every adapter an update, as training would."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for tensor in adapter_state(module).values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_parameters_are_counted_by_hand(clip, rank):
    report = add_lora(clip, rank=rank, alpha=32)
    assert report.n_parameters == LAYERS * 4 * rank * 2 * DIM
    assert report.n_modules == LAYERS * 4
    assert report.by_kind == tuple(
        (k, LAYERS, LAYERS * rank * 2 * DIM) for k in ("k_proj", "v_proj", "q_proj", "out_proj")
    )
    assert report.n_parameters == sum(p.numel() for p in clip.parameters() if p.requires_grad)
    assert (report.rank, report.alpha) == (rank, 32)
    assert f"{report.n_parameters:,} trainable" in str(report)


def test_attention_and_mlp_are_counted_by_hand(clip, fused):
    assert add_lora(clip, targets="attention+mlp").n_parameters == LAYERS * 16 * (4 * 2 * DIM + 2 * (DIM + MLP))
    report = add_lora(fused, targets="attention+mlp")
    assert report.n_parameters == LAYERS * 16 * ((DIM + 3 * DIM) + 2 * DIM + 2 * (DIM + MLP))
    assert [kind for kind, _, _ in report.by_kind] == [FUSED, "c_fc", "c_proj"]


def test_fused_attention_is_one_target_that_adapts_input_and_output(fused):
    report = add_lora(fused)
    assert report.targets == ("blocks.0.attn", "blocks.1.attn")
    assert report.n_parameters == LAYERS * 16 * (DIM + 3 * DIM + DIM + DIM)


def test_nothing_but_adapters_trains_and_features_do_not_change(clip, fused, pages, page):
    for tower, images in ((clip, pages), (fused, page)):
        with torch.no_grad():
            before = tower(images)
            add_lora(tower, targets="attention+mlp")
            assert torch.allclose(tower(images), before, atol=1e-6)
        trains = {name for name, p in tower.named_parameters() if p.requires_grad}
        assert trains == adapter_state(tower).keys()
        assert all(".lora_" in name for name in trains)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_moves_adapters_and_leaves_the_base_bit_identical(clip, pages, checkpointing):
    add_lora(clip)
    clip.train().set_gradient_checkpointing(checkpointing)
    base = {name: p.clone() for name, p in clip.named_parameters() if not p.requires_grad}
    adapters = {name: tensor.clone() for name, tensor in adapter_state(clip).items()}
    optimiser = torch.optim.AdamW((p for p in clip.parameters() if p.requires_grad), lr=1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        clip(pages).square().mean().backward()
        optimiser.step()
    named = dict(clip.named_parameters())
    assert all(torch.equal(named[name], tensor) for name, tensor in base.items())
    assert not [name for name, tensor in adapters.items() if torch.equal(named[name], tensor)]


@pytest.mark.parametrize("kind", ["clip", "fused"])
def test_merging_and_unmerging_agree_to_float_tolerance(kind, request, pages, page):
    tower, images = request.getfixturevalue(kind), pages if kind == "clip" else page
    shapes = {name: tensor.shape for name, tensor in tower.state_dict().items()}
    with torch.no_grad():
        plain = tower(images)
        add_lora(tower, targets="attention+mlp")
        stir(tower)
        adapted = tower(images)
        assert not torch.allclose(adapted, plain, atol=1e-2)
        merge_lora(tower)
        merge_lora(tower)
        assert torch.allclose(tower(images), adapted, atol=1e-5)
        unmerge_lora(tower)
        unmerge_lora(tower)
        assert torch.allclose(tower(images), adapted, atol=1e-5)
        merge_lora(tower, keep=False)
        assert torch.allclose(tower(images), adapted, atol=1e-5)
    now = {name: tensor.shape for name, tensor in tower.state_dict().items()}
    assert now == shapes, "the published names, once more"
    assert not has_adapters(tower)
    assert add_lora(tower).n_modules > 0


def test_the_update_is_alpha_over_rank_times_b_a():
    module = nn.Sequential(nn.Linear(6, 5))
    add_lora(module, rank=2, alpha=7, targets=["0"])
    stir(module)
    a, b = adapter_state(module).values()
    x = torch.randn(3, 6)
    layer = module[0].get_base_layer()
    expected = x @ layer.weight.T + layer.bias + 3.5 * (x @ a.T @ b.T)
    assert torch.allclose(module(x), expected, atol=1e-6)


@pytest.mark.parametrize("targets", ["out_proj", ["attn", "out_proj"], ["blocks.1.attn.out_proj"]])
def test_an_output_layer_inside_fused_attention_is_refused(fused, targets):
    with pytest.raises(ArgumentError, match="would train nothing") as caught:
        add_lora(fused, targets=targets)
    assert caught.value.field == "targets"
    assert "'attn'" in (caught.value.expected or "")
    assert not has_adapters(fused)
    assert all(p.requires_grad for p in fused.parameters()), "a refusal leaves the tower as it was"


def test_peft_itself_lets_that_adapter_train_nothing(fused, page):
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=2, target_modules=["out_proj"]), fused)
    assert any(p.requires_grad for p in fused.parameters())
    assert not fused(page).requires_grad, "the reason for the refusal"


@pytest.mark.parametrize("targets", ["nothing", ["attn", "nothing"], "mlp", []])
def test_a_target_that_adapts_nothing_is_refused(fused, targets):
    with pytest.raises(ArgumentError) as caught:
        add_lora(fused, targets=targets)
    assert caught.value.field == "targets"
    assert not has_adapters(fused)


def test_an_adapter_that_no_gradient_reaches_is_refused(fused):
    with pytest.raises(ArgumentError, match=r"never receive a gradient, first unused\.lora_A"):
        add_lora(fused, targets=["attn", "unused"])
    assert not has_adapters(fused)


def test_a_layer_read_past_its_forward_is_found_among_those_that_learn():
    class Past(nn.Module):  # as timm's BEiT and EVA read their qkv
        size = (8, 8)

        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj = nn.Linear(64, 64), nn.Linear(64, 64)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = images[:, 0].flatten(1).float()
            return self.proj(nn.functional.linear(x, self.qkv.weight, self.qkv.bias))

    with pytest.raises(ArgumentError, match=r"2 of 4 adapter weights .* first qkv\.lora_A") as caught:
        add_lora(Past())
    assert "only those that learn: proj" in (caught.value.fix or "")
    assert add_lora(Past(), targets=["proj"]).n_modules == 1


def test_the_check_costs_no_arithmetic(clip, monkeypatch):
    ran = []
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, _, output: ran.append(output.device.type) if isinstance(output, torch.Tensor) else None
    )
    add_lora(clip)
    hook.remove()
    assert set(ran) == {"meta"}


def test_names_mean_modules_by_their_ends_and_no_others(clip):
    report = add_lora(clip, targets=["layers.1.self_attn.q_proj", "fc2"])
    assert [name.removeprefix("network.vision.encoder.") for name in report.targets] == [
        "layers.0.mlp.fc2",
        "layers.1.self_attn.q_proj",
        "layers.1.mlp.fc2",
    ]
    nested = nn.ModuleDict({"q": nn.Linear(2, 2), "deep": nn.ModuleDict({"q": nn.Linear(2, 2)})})
    assert add_lora(nested, targets=["deep.q"]).targets == ("deep.q",)
    fresh = nn.ModuleDict({"q": nn.Linear(2, 2), "deep": nn.ModuleDict({"q": nn.Linear(2, 2)})})
    assert add_lora(fresh, targets=["q"]).targets == ("q",), "a full name means that module alone"
    with pytest.raises(ArgumentError, match="adapters already"):
        add_lora(nested, targets=["q"])


def test_a_pooling_head_is_left_alone_where_blocks_have_separate_layers():
    transformers = pytest.importorskip("transformers")
    config = transformers.SiglipVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14
    )
    report = add_lora(transformers.SiglipVisionModel(config), targets="attention+mlp")
    assert {kind: n for kind, n, _ in report.by_kind} == {
        "q_proj": 2,
        "k_proj": 2,
        "v_proj": 2,
        "out_proj": 2,
        "fc1": 3,
        "fc2": 3,
    }
    with pytest.raises(ArgumentError, match=r"head\.attention\.out_proj lies inside fused attention"):
        add_lora(transformers.SiglipVisionModel(config), targets="out_proj")


def test_timm_s_joint_projection_is_found():
    pytest.importorskip("timm")
    tower = image_tower("timm:test_vit")
    report = add_lora(tower, rank=4)
    assert {kind for kind, _, _ in report.by_kind} == {"qkv", "proj"}


def test_dropout_on_fused_attention_is_refused_and_kept_elsewhere(clip, fused):
    with pytest.raises(ArgumentError, match="ignore the dropout"):
        add_lora(fused, dropout=0.1)
    assert add_lora(clip, dropout=0.1).dropout == pytest.approx(0.1)
    assert lora_report(clip).dropout == pytest.approx(0.1)


@pytest.mark.parametrize(("argument", "value"), [("rank", 0), ("alpha", 0), ("dropout", 1.0), ("dropout", -0.1)])
def test_absurd_numbers_are_refused(fused, argument, value):
    with pytest.raises(ArgumentError) as caught:
        add_lora(fused, **{argument: value})
    assert caught.value.field == argument


def test_without_adapters_there_is_nothing_to_report_or_merge(fused):
    for function in (lora_report, merge_lora, unmerge_lora, adapter_state):
        with pytest.raises(ArgumentError, match="no adapters"):
            function(fused)
    with pytest.raises(ArgumentError, match="no attention"):
        add_lora(image_tower("tiny", width=2))


def test_without_peft_the_error_names_the_extra(fused, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError) as caught:
        add_lora(fused)
    assert "towers" in (caught.value.fix or "")

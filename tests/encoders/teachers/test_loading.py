"""Conversion and loading: strict, by consent, with preprocessing; each kind of damage is refused and named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ecgscan_lab.encoders.teachers import MIMIC_LEADS, TEACHERS, conversion, convert_teacher, reordered, signal_teacher
from ecgscan_lab.encoders.teachers.weights import read_weights, write_weights
from ecgscan_lab.errors import ArgumentError, CheckpointError, IntegrityError
from ecgscan_lab.leads import LEADS

NAMES = sorted(TEACHERS)


@pytest.fixture
def converted(published, small, tmp_path):
    """Path of a converted small teacher, and the weights as published."""

    def convert(name: str, **options):
        tree, weights = published(name)
        torch.save(tree, tmp_path / f"{name}.pt")
        out = tmp_path / f"{name}.safetensors"
        convert_teacher(name, tmp_path / f"{name}.pt", out, trust_pickle=True, sizes=small(name), **options)
        return out, weights

    return convert


def signals(name: str, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(2, 12, TEACHERS[name].preprocessing.n_samples, generator=torch.Generator().manual_seed(seed))
    return noise.cumsum(-1) * 0.05


@pytest.mark.parametrize("name", NAMES)
def test_every_published_weight_that_counts_arrives_and_the_teacher_is_frozen(name, converted, small):
    path, published = converted(name)
    teacher = signal_teacher(name, path, sizes=small(name))
    loaded = teacher.network.state_dict()
    theirs = {tuple(weight.flatten().tolist()) for weight in published.values()}
    assert all(tuple(weight.flatten().tolist()) in theirs for weight in loaded.values())
    assert not teacher.training
    assert not teacher.train().training, "whatever its owner does"
    assert not any(part.training for part in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert teacher.trained
    features = teacher(signals(name).requires_grad_())
    assert features.shape == (2, teacher.embed_dim)
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("name", NAMES)
def test_features_do_not_depend_on_autocast_or_on_the_batch(name, small):
    teacher = signal_teacher(name, sizes=small(name))
    both = teacher(signals(name))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(teacher(signals(name)), both, atol=1e-5)
    assert torch.allclose(teacher(signals(name)[1:]), both[1:], atol=1e-5)
    assert not torch.allclose(both[0], both[1], rtol=1e-3, atol=0.0)


def test_random_weights_repeat_and_leave_the_global_generator_alone(small):
    state = torch.get_rng_state()
    first, second, third = (signal_teacher("d-beta", sizes=small("d-beta"), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert not first.trained
    assert torch.equal(first(signals("d-beta")), second(signals("d-beta")))
    assert not torch.equal(first(signals("d-beta")), third(signals("d-beta")))


def test_the_file_says_what_it_is_and_where_it_came_from(converted):
    path, _ = converted("d-beta", lead_order="mimic")
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["ecgscan_lab_teacher"])
    assert facts["preprocessing"]["lead_order"] == list(MIMIC_LEADS)
    assert facts["provenance"]["source"] == "d-beta.pt"
    assert len(facts["provenance"]["source_sha256"]) == 64
    assert "NonCommercial" in facts["provenance"]["licence"]


@pytest.mark.parametrize("name", NAMES)
def test_mimic_and_standard_order_swap_avl_and_avf(name, small):
    teacher = signal_teacher(name, sizes=small(name), lead_order="standard")
    other = signal_teacher(name, sizes=small(name), lead_order="mimic")
    assert (teacher.lead_order, other.lead_order) == ("standard", "mimic")
    assert (teacher.preprocessing.lead_order, other.preprocessing.lead_order) == (LEADS, MIMIC_LEADS)
    x = signals(name)
    swapped = x[:, [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]]
    assert torch.allclose(other(x), teacher(swapped), atol=1e-5)
    assert torch.equal(reordered(teacher, "mimic")(x), other(x))
    assert teacher.lead_order == "standard", "the first teacher stays as it was"


def test_melp_and_merl_read_leads_as_mimic_has_them_and_the_others_as_usual():
    orders = {name: TEACHERS[name].preprocessing.lead_order for name in NAMES}
    assert {name for name, leads in orders.items() if leads == MIMIC_LEADS} == {"melp", "merl"}
    assert {leads for name, leads in orders.items() if name not in {"melp", "merl"}} == {LEADS}


def test_another_lead_order_than_the_stored_one_is_refused(converted, small):
    path, _ = converted("d-beta", lead_order="mimic")
    assert signal_teacher("d-beta", path, sizes=small("d-beta")).lead_order == "mimic", "the file says so"
    with pytest.raises(CheckpointError) as caught:
        signal_teacher("d-beta", path, sizes=small("d-beta"), lead_order="standard")
    assert caught.value.field == "preprocessing.lead_order"


@pytest.mark.parametrize(
    ("field", "value"), [("fs_hz", 250.0), ("n_samples", 4096), ("normalisation", "z-score lead"), ("eps", 1.0)]
)
def test_another_preprocessing_than_the_stored_one_is_refused(converted, small, field, value):
    path, _ = converted("d-beta")
    tensors, facts, preprocessing = read_weights(path)
    write_weights(path, "d-beta", tensors, facts["sizes"], replace(preprocessing, **{field: value}), {})
    with pytest.raises(CheckpointError) as caught:
        signal_teacher("d-beta", path, sizes=small("d-beta"))
    assert caught.value.field == f"preprocessing.{field}"


def drop(weights, name):
    del weights[name]


def add(weights, name):
    weights[f"{name}.more"] = torch.zeros(2)


def reshape(weights, name):
    weights[name] = weights[name][:-1]


def poison(weights, name):
    weights[name].view(-1)[3] = torch.nan


def to_integers(weights, name):
    weights[name] = weights[name].long()


SOME_WEIGHT = {
    "d-beta": "ecg_encoder.encoder.layers.1.fc1.weight",
    "ecg-fm": "encoder.layers.1.fc1.weight",
    "melp": "ecg_encoder.ecg_encoder.encoder.layers.1.fc1.weight",
    "ecgfounder": "stage_list.3.block_list.2.conv2.conv.weight",
    "merl": "ecg_encoder.layer2.0.conv1.weight",
    "st-mem": "block1.ff.fn.net.3.weight",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (drop, "missing"),
        (add, "unexpected"),
        (reshape, "wrong shape"),
        (poison, "not finite"),
        (to_integers, "wrong type"),
    ],
)
def test_each_kind_of_damage_is_refused_and_named(name, damage, says, published, small, tmp_path):
    tree, _ = published(name)
    inner = next((tree[key] for key in ("model", "state_dict") if key in tree), tree)
    damage(inner, SOME_WEIGHT[name])
    torch.save(tree, tmp_path / "p.pt")
    with pytest.raises(CheckpointError, match=says) as caught:
        convert_teacher(name, tmp_path / "p.pt", tmp_path / "o.safetensors", trust_pickle=True, sizes=small(name))
    assert SOME_WEIGHT[name].split(".")[-3] in str(caught.value)
    assert not (tmp_path / "o.safetensors").exists()


@pytest.mark.parametrize("damage", [drop, add, reshape])
def test_a_converted_file_is_held_to_the_network_once_more(damage, converted, small):
    path, _ = converted("d-beta")
    tensors, facts, preprocessing = read_weights(path)
    damage(tensors, "class_embedding")
    write_weights(path, "d-beta", tensors, facts["sizes"], preprocessing, {})
    with pytest.raises(CheckpointError, match="class_embedding"):
        signal_teacher("d-beta", path, sizes=small("d-beta"))


def test_a_flipped_bit_a_truncated_file_and_a_stranger_are_refused(converted, small, tmp_path):
    path, _ = converted("d-beta")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(CheckpointError, match="damaged"):
        signal_teacher("d-beta", path, sizes=small("d-beta"))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot read"):
        signal_teacher("d-beta", path, sizes=small("d-beta"))
    save_file({"a": torch.zeros(1)}, tmp_path / "stranger.safetensors")
    with pytest.raises(CheckpointError, match="convert_teacher"):
        signal_teacher("d-beta", tmp_path / "stranger.safetensors")


def test_another_teachers_file_and_another_size_are_refused(converted, small):
    path, _ = converted("ecg-fm")
    with pytest.raises(CheckpointError, match="weights of ecg-fm"):
        signal_teacher("d-beta", path)
    with pytest.raises(CheckpointError) as caught:
        signal_teacher("ecg-fm", path)
    assert (caught.value.field or "").startswith("sizes.")


@pytest.mark.parametrize("name", NAMES)
def test_missing_weights_name_the_licence_the_manifest_and_the_steps(name, tmp_path):
    with pytest.raises(CheckpointError, match=rf"data_manifests/{name}\.json") as caught:
        signal_teacher(name, tmp_path / "none.safetensors")
    assert "http" in str(caught.value)
    assert "convert_teacher" in str(caught.value.fix)
    licence = {"d-beta": "NonCommercial", "st-mem": "NonCommercial", "melp": "Apache"}.get(name, "MIT")
    assert licence in str(caught.value)
    with pytest.raises(CheckpointError, match="no weights"):
        convert_teacher(name, tmp_path / "none.pt", tmp_path / "o.safetensors", trust_pickle=True)


def test_gated_weights_say_that_they_are(tmp_path):
    with pytest.raises(CheckpointError, match="gated") as caught:
        signal_teacher("d-beta", tmp_path / "none.safetensors")
    assert "Sign in" in str(caught.value.fix)


def test_a_pickle_is_read_by_consent_only(published, small, tmp_path):
    torch.save(published("d-beta")[0], tmp_path / "p.pt")
    with pytest.raises(ArgumentError, match="pickle") as caught:
        convert_teacher("d-beta", tmp_path / "p.pt", tmp_path / "o.safetensors", sizes=small("d-beta"))
    assert caught.value.field == "trust_pickle"
    with pytest.raises(CheckpointError, match="convert_teacher"):
        signal_teacher("d-beta", tmp_path / "p.pt")


class Hostile:
    """Unpickled carelessly, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_that_holds_code_is_not_run_even_with_consent(tmp_path):
    torch.save({"model": Hostile(str(tmp_path / "made"))}, tmp_path / "p.pt")
    with pytest.raises(CheckpointError, match="plain tensors"):
        convert_teacher("d-beta", tmp_path / "p.pt", tmp_path / "o.safetensors", trust_pickle=True)
    assert not (tmp_path / "made").exists()
    (tmp_path / "q.pt").write_bytes(b"no weights at all")
    with pytest.raises(CheckpointError, match="plain tensors"):
        convert_teacher("d-beta", tmp_path / "q.pt", tmp_path / "o.safetensors", trust_pickle=True)


def test_a_digest_that_the_manifest_lists_is_held_to(published, small, tmp_path, monkeypatch):
    source = tmp_path / "12_lead_ECGFounder.pth"
    torch.save(published("ecgfounder")[0], source)
    manifest = conversion.load_manifest("ecgfounder")
    listed = tuple(replace(file, sha256="0" * 64) for file in manifest.files)
    monkeypatch.setattr(conversion, "load_manifest", lambda name: replace(manifest, files=listed))
    with pytest.raises(IntegrityError) as caught:
        convert_teacher("ecgfounder", source, tmp_path / "o.safetensors", trust_pickle=True, sizes=small("ecgfounder"))
    assert caught.value.field == "sha256"


def test_melp_comes_as_safetensors_in_bfloat16_with_any_number_of_beat_queries(published, small, tmp_path):
    _, weights = published("melp", {**small("melp"), "beat_queries": 12})
    save_file({name: weight.bfloat16() for name, weight in weights.items()}, tmp_path / "model.safetensors")
    convert_teacher("melp", tmp_path / "model.safetensors", tmp_path / "o.safetensors", sizes=small("melp"))
    teacher = signal_teacher("melp", tmp_path / "o.safetensors", sizes=small("melp"))
    assert teacher.network.beats(torch.zeros(1, 12, 5000)).shape == (1, 12, 24)
    assert {p.dtype for p in teacher.parameters()} == {torch.float32}


def test_a_finetuned_ecg_fm_is_the_pretrained_one_inside_a_classifier(published, small, converted, tmp_path):
    path, weights = converted("ecg-fm")
    tree = {"model": {f"encoder.{name}": weight for name, weight in weights.items()}}
    tree["model"] |= {"proj.weight": torch.zeros(17, 32), "proj.bias": torch.zeros(17)}
    torch.save(tree, tmp_path / "finetuned.pt")
    convert_teacher(
        "ecg-fm", tmp_path / "finetuned.pt", tmp_path / "f.safetensors", trust_pickle=True, sizes=small("ecg-fm")
    )
    plain, tuned = (signal_teacher("ecg-fm", p, sizes=small("ecg-fm")) for p in (path, tmp_path / "f.safetensors"))
    assert torch.equal(plain(signals("ecg-fm")), tuned(signals("ecg-fm")))


def test_st_mem_loads_from_the_full_autoencoder_and_merl_from_the_encoder_alone(converted, small, tmp_path):
    for name in ("st-mem", "merl"):
        path, weights = converted(name)
        if name == "st-mem":
            tree = {f"encoder.{key}": weight for key, weight in weights.items()}
            tree |= {key: weight for key, weight in weights.items() if key.startswith("to_patch_embedding.")}
            tree |= {"mask_embedding": torch.zeros(1, 1, 8), "decoder_blocks.0.attn.norm.weight": torch.zeros(8)}
            tree = {"model": tree}
        else:
            prefix = "ecg_encoder."
            tree = {key[len(prefix) :]: weight for key, weight in weights.items() if key.startswith(prefix)}
        torch.save(tree, tmp_path / "other.pth")
        convert_teacher(name, tmp_path / "other.pth", tmp_path / "o.safetensors", trust_pickle=True, sizes=small(name))
        first, second = (signal_teacher(name, p, sizes=small(name)) for p in (path, tmp_path / "o.safetensors"))
        assert torch.equal(first(signals(name)), second(signals(name)))


def test_unknown_names_orders_and_sizes_are_refused():
    for arguments, field in (
        ({"name": "tiny"}, "name"),
        ({"name": "d-beta", "lead_order": "cabrera"}, "lead_order"),
        ({"name": "d-beta", "sizes": {"depth": 3}}, "sizes"),
    ):
        with pytest.raises(ArgumentError) as caught:
            signal_teacher(**arguments)
        assert caught.value.field == field

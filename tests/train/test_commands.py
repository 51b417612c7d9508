"""`ecgscan-lab pretrain`: from words to checkpoints, and back by --resume."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.store import build_store
from ecgscan_lab.errors import ArgumentError, CheckpointError, TrainingError
from ecgscan_lab.train.checkpoint import load_checkpoint
from ecgscan_lab.train.commands import add_pretrain_verb, chosen_recipe, run_pretrain
from ecgscan_lab.train.loop import load_model
from ecgscan_lab.train.recipes import paper, quick, tiny

SMALL = "--data synthetic --records 60 --recipe tiny --set text_tower=hashed size=[48,112] d_shared=16 tower_width=4"
SMALL += " decoder_dim=16 teacher_steps=2 steps=4 validations=2 batch_size=8 weights.theta=0.1 --seed 3"


def parse(words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_pretrain_verb(parser.add_subparsers(), argparse.ArgumentParser(add_help=False), lambda args: 0)
    return parser.parse_args(["pretrain", *words.split()])


def run(words: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    return run_pretrain(parse(words), lines.append), lines


def test_words_become_checkpoints_and_resume_goes_on(tmp_path):
    status, lines = run(f"{SMALL} --out {tmp_path}/run")
    text = "\n".join(lines)
    assert status == 0
    for told in ("budget    4 steps, 32 pages", "parameters", "memory", "time", "best.safetensors", "last.safetensors"):
        assert told in text
    _, facts = load_model(tmp_path / "run" / "best.safetensors")
    assert (facts["seed"], facts["recipe"]["weights"]["theta"], facts["recipe"]["text_tower"]) == (3, 0.1, "hashed")
    with pytest.raises(ArgumentError, match="holds a run") as caught:
        run(f"{SMALL} --out {tmp_path}/run")
    assert "--resume" in caught.value.fix
    cached = sorted((tmp_path / "run" / "frozen").rglob("*.npy"))
    stamps = [path.stat().st_mtime_ns for path in cached]
    assert run(f"{SMALL} --out {tmp_path}/run --resume")[0] == 0
    assert [path.stat().st_mtime_ns for path in cached] == stamps, "the frozen towers were not run again"
    with pytest.raises(CheckpointError, match="lr"):
        run(f"{SMALL} --out {tmp_path}/run --resume --lr 0.5")
    assert run(f"{SMALL} --out {tmp_path}/run --overwrite --lr 0.5")[0] == 0


def test_an_estimate_alone_leaves_no_checkpoint(tmp_path):
    status, lines = run(f"{SMALL} --out {tmp_path}/run --estimate-only")
    assert status == 0
    assert any(line.startswith("time") and "a step" in line for line in lines)
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_recipes_are_named_read_from_files_and_changed(tmp_path):
    assert chosen_recipe(parse("--data synthetic --recipe tiny --out o"), 10) == tiny()
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**paper().as_dict(), "name": "mine"}))
    words = f"--data synthetic --recipe {file} --out o --teacher melp --teacher-weights w.safetensors --text minilm"
    recipe = chosen_recipe(parse(f"{words} --steps 30 --set lora_rank=8 weights.gram_kind=plane_distance"), 10)
    assert (recipe.name, recipe.signal_teacher, recipe.teacher_weights) == ("mine", "melp", "w.safetensors")
    assert (recipe.text_tower, recipe.lora_rank, recipe.weights.gram_kind) == ("minilm", 8, "plane_distance")
    assert recipe.validations == recipe.steps == 30
    status, lines = run(f"{words} --print")
    assert status == 0
    assert "lora_targets" in lines[0]


def test_print_shows_the_recipe_that_so_many_records_are_trained_with():
    assert run("--data synthetic --recipe quick --print")[1] == [str(quick(1_385))]
    # Of 2,600 records fewer than 2,000 train: the small recipe, though 2,600 would ask for the other.
    assert run("--data synthetic --records 2600 --recipe quick --print")[1] == [str(quick(1_800))]
    assert str(quick(2_600)) != str(quick(1_800))
    assert run("--recipe quick --print")[1] == [str(quick(17_000))]


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("--recipe paperr", "recipe"),
        ("--recipe gone.json", "recipe"),
        ("--recipe tiny --set colour=red", "colour"),
        ("--recipe tiny --set weights.colour=red", "colour"),
        ("--recipe tiny --set steps", "set"),
        ("--recipe tiny --set precision=half", "precision"),
        ("--recipe tiny --steps 0", "steps"),
    ],
)
def test_a_wrong_word_is_named(words, field):
    with pytest.raises(ArgumentError) as caught:
        chosen_recipe(parse(f"--data synthetic --out o {words}"), 10)
    assert caught.value.field == field


def test_a_published_teacher_without_weights_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="noise") as caught:
        run(f"{SMALL} --out {tmp_path}/run --teacher d-beta")
    assert caught.value.field == "teacher_weights"
    assert "data show d-beta" in caught.value.fix


def test_missing_processes_are_an_error(tmp_path):
    with pytest.raises(TrainingError, match="4 processes were asked for"):
        run(f"{SMALL} --out {tmp_path}/run --processes 4")


def test_features_on_disk_are_those_of_the_towers(tmp_path):
    run(f"{SMALL} --out {tmp_path}/run")
    facts = json.loads(next((tmp_path / "run" / "frozen").rglob("facts.json")).read_text())
    assert facts["text_tower"] == "hashed"
    assert facts["data_sha256"] == load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["data_sha256"]


def test_the_teachers_summary_is_prepared_in_units_of_its_spread_and_learnt(tmp_path):
    words = SMALL.replace("weights.theta=0.1", "weights.w_distillation=1")
    run(f"{words} --out {tmp_path}/run")
    home = next((tmp_path / "run" / "frozen").rglob("summary.npy")).parent
    summary, signal = np.load(home / "summary.npy"), np.load(home / "signal.npy")
    train = load_cohort("synthetic", n_records=60, seed=3).indices("train")
    known = signal[train]
    assert np.allclose(summary[:, :16], (signal - known.mean(0)) / known.std(0), atol=1e-3), (
        "it begins with the feature"
    )
    assert np.allclose(summary[train].mean(0), 0, atol=1e-3)
    model, facts = load_model(tmp_path / "run" / "best.safetensors")
    assert model.predict_summary.out_features == facts["d_summary"] == summary.shape[1]


def test_a_store_on_disk_trains_as_recordings_in_memory_do(tmp_path):
    build_store("synthetic", tmp_path / "store", n_records=60, seed=3)
    words = SMALL.replace("--data synthetic", f"--data store:{tmp_path}/store")
    status, lines = run(f"{words} --out {tmp_path}/run --set vary=none steps=2")
    assert status == 0
    assert "records" in lines[0]
    assert load_model(tmp_path / "run" / "best.safetensors")[1]["n_samples"] == 1000

"""The verbs embed and zeroshot, from files to a table and figures."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from ecgscan_lab.batch import FrozenFeatures
from ecgscan_lab.cli import main
from ecgscan_lab.data.prompts import builtin_prompts
from ecgscan_lab.data.synthetic import synthetic_cohort, synthetic_records
from ecgscan_lab.encoders.text import HashedTextTower
from ecgscan_lab.errors import ArgumentError, LabelError
from ecgscan_lab.evaluate.embed_commands import add_embed_verb, add_zeroshot_verb, run_embed, run_zeroshot
from ecgscan_lab.evaluate.embedding import embed_images
from ecgscan_lab.evaluate.feature_table import read_features
from ecgscan_lab.evaluate.prompt_judgement import judge_prompts, query_aurocs, retrieval_table
from ecgscan_lab.evaluate.zero_shot import class_embeddings
from ecgscan_lab.train.loop import load_model


def _run(*words):
    common = argparse.ArgumentParser(add_help=False)
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    lines = []
    add_embed_verb(commands, common, lambda args: run_embed(args, lines.append))
    add_zeroshot_verb(commands, common, lambda args: run_zeroshot(args, lines.append))
    args = parser.parse_args([str(word) for word in words])
    return args.run(args), lines


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    lines = ["record,split,patient_id,SB,ST,AF"]
    for i, record in enumerate(synthetic_records(24, 0, fs_hz=100.0)):
        kind = record.labels["rhythm"][0]
        flags = [int(kind == name) for name in ("SBRAD", "STACH", "AFIB")]
        lines.append(f"{record.record_id},{'train' if i < 2 else 'test'},{i // 2},{','.join(map(str, flags))}")
    path.write_text("\n".join(lines))
    return path


def test_embed_writes_a_table_and_says_what_it_left_out(tmp_path, tiny_checkpoint):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    out = tmp_path / "f.parquet"
    code, lines = _run("embed", "synthetic:3", "--checkpoint", tiny_checkpoint, "--out", out)
    assert (code, len(read_features(out))) == (0, 3)
    assert "3 rows of 160 features" in lines[-1]
    words = ("embed", "synthetic:3", tmp_path / "bad.png", "--checkpoint", tiny_checkpoint, "--out", out)
    code, lines = _run(*words, "--skip-bad", "--what", "shared")
    assert code == 1
    assert any(line.startswith("left out: bad") for line in lines)
    assert read_features(out).features.shape == (3, 16)


def test_zeroshot_from_inputs_equals_zeroshot_from_features(tmp_path, tiny_checkpoint, labels):
    words = ("zeroshot", "--checkpoint", tiny_checkpoint, "--labels", labels, "--task", "code", "--bootstrap", "50")
    code, lines = _run(*words, "synthetic:24", "--json", tmp_path / "a.json")
    assert code == 0
    assert lines[0].startswith("loading"), "a sign of life, before anything slow"
    assert any(line.startswith("22 records, 3 of 3 classes defined, texts by hashed") for line in lines)
    _run("embed", "synthetic:24", "--checkpoint", tiny_checkpoint, "--out", tmp_path / "f", "--what", "shared")
    _run(*words, "--features", tmp_path / "f", "--json", tmp_path / "b.json")
    a, b = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert a == b
    assert set(a["per_class"]) == {"SB", "ST", "AF"}
    low, high = a["per_class_ci95"]["ST"]
    assert low <= a["per_class"]["ST"] <= high
    prompts = {"SB": "slow", "st": ["fast", "quick"], "AF": "fibrillation, flutter"}
    (tmp_path / "p.json").write_text(json.dumps(prompts))
    _run(*words, "--features", tmp_path / "f", "--prompts", tmp_path / "p.json", "--json", tmp_path / "c.json")
    c = json.loads((tmp_path / "c.json").read_text())
    assert c["prompts"] == {"SB": ["slow"], "ST": ["fast", "quick"], "AF": ["fibrillation, flutter"]}


def test_zeroshot_refuses_what_does_not_fit_together(tmp_path, tiny_checkpoint, labels):
    words = ("zeroshot", "--checkpoint", tiny_checkpoint, "--labels", labels)
    with pytest.raises(ArgumentError, match="one of the two"):
        _run(*words)
    with pytest.raises(ArgumentError, match="task"):
        _run(*words, "synthetic:24")
    with pytest.raises(LabelError, match="SB"):
        _run(*words, "synthetic:24", "--task", "rhythm")
    _run("embed", "synthetic:24", "--checkpoint", tiny_checkpoint, "--out", tmp_path / "f")
    with pytest.raises(ArgumentError, match="shared"):
        _run(*words, "--features", tmp_path / "f", "--task", "code")


def test_text_pipeline_ranks_planted_embeddings(tiny_checkpoint):
    model, _ = load_model(tiny_checkpoint)
    tower, prompts = HashedTextTower(), builtin_prompts("code")
    truth = np.eye(6, dtype=bool)[np.random.default_rng(0).integers(6, size=80)]
    classes = class_embeddings(prompts, lambda texts: model.project_texts(tower.encode_text(texts)))
    planted = classes[truth.argmax(1)]  # every image lies on its own class
    assert judge_prompts(planted, model, tower, prompts, truth, n_bootstrap=20).macro_auroc == 100.0
    assert judge_prompts(-planted, model, tower, prompts, truth, n_bootstrap=20).macro_auroc == 0.0

    class Other:
        name, embed_dim = "other", 7

    with pytest.raises(ArgumentError, match="384"):
        judge_prompts(planted, model, Other(), prompts, truth)


def test_a_text_finds_the_class_whose_records_lie_nearest_to_it(tiny_checkpoint):
    model, _ = load_model(tiny_checkpoint)
    tower, truth = HashedTextTower(), np.eye(2, dtype=int)[np.arange(40) % 2]
    texts = ["atrial fibrillation", "left bundle branch block"]
    images = model.project_texts(tower.encode_text(texts))[np.arange(40) % 2]
    found = [query_aurocs(images, model, tower, text, truth, ["AF", "LBBB"]) for text in texts]
    assert found == [{"AF": 100.0, "LBBB": 0.0}, {"AF": 0.0, "LBBB": 100.0}]
    with pytest.raises(ArgumentError, match="empty text"):
        query_aurocs(images, model, tower, "  ", truth, ["AF", "LBBB"])


def test_retrieval_is_one_call(tiny_checkpoint, tmp_path):
    model, _ = load_model(tiny_checkpoint)
    cohort = synthetic_cohort(40, seed=2)
    images = embed_images(cohort, model, what="shared").features
    texts = HashedTextTower().encode_text([f"text {i}" for i in range(40)])
    frozen = FrozenFeatures(signal=images.copy(), text=texts, text_ids=np.zeros(40, np.int64))
    table = retrieval_table(model, cohort, frozen, image_embeddings=images)
    assert table["image-text"].recall_image_to_other[1] == 100.0  # every text is the same one
    assert table["image-signal"].recall_image_to_other[1] > 90.0  # planted
    assert table["image-signal"].n == len(cohort.indices("test"))
    drawn = retrieval_table(model, cohort, frozen, split=None, cache=tmp_path)
    assert drawn["image-signal"].n == 40
    assert drawn["image-signal"].median_rank_image_to_other == 1.0
    with pytest.raises(LabelError, match="split"):
        retrieval_table(model, cohort, frozen, split="nowhere")


def test_the_word_shipped_names_the_weights_of_the_package(tmp_path, capsys):
    out = tmp_path / "features.parquet"
    assert main(["embed", "synthetic:2", "--checkpoint", "shipped", "--out", str(out)]) == 0
    assert read_features(out).provenance["checkpoint"] == "ptbxl_laptop.safetensors"


def test_pages_that_render_drew_are_probed_on_the_labels_of_their_source(tmp_path, tiny_checkpoint, capsys):
    pages, labels, out = tmp_path / "PAGES", tmp_path / "labels.csv", tmp_path / "probe.json"
    words = ["--size", "96", "224", "--truth", "none", "--fs", "100", "--shard-size", "16", "--limit", "40"]
    assert main(["render", "synthetic:48", str(pages), *words]) == 0
    assert str(pages / "index.csv") in capsys.readouterr().out, "people are told where the names are"
    assert main(["data", "labels", "synthetic:48", str(labels), "--task", "superclass"]) == 0
    for name, source in (("pages", str(pages)), ("records", "synthetic:40")):
        table = str(tmp_path / f"{name}.parquet")
        assert main(["embed", source, "--checkpoint", str(tiny_checkpoint), "--out", table]) == 0
    drawn, recorded = (read_features(tmp_path / f"{name}.parquet") for name in ("pages", "records"))
    assert drawn.ids == recorded.ids
    listed = {line.partition(",")[0] for line in labels.read_text().splitlines()[1:]}
    capsys.readouterr()
    words = ["--labels", str(labels), "--fractions", "100", "--bootstrap", "20", "--json", str(out)]
    assert main(["probe", "--features", str(tmp_path / "pages.parquet"), *words]) == 0
    found = json.loads(out.read_text())
    assert found["n_records"] == len(listed & set(drawn.ids))
    assert found["n_without_features"] == len(listed - set(drawn.ids)) > 0
    assert "labelled records have no features" in capsys.readouterr().out


def test_zeroshot_judges_the_records_that_were_embedded(tmp_path, tiny_checkpoint, labels):
    words = ("zeroshot", "synthetic:20", "--checkpoint", tiny_checkpoint, "--labels", labels, "--task", "code")
    _, lines = _run(*words, "--bootstrap", "20", "--json", tmp_path / "z.json")
    assert "4 of 22 labelled records have no features and are left out" in lines
    assert any(line.startswith("18 records, ") for line in lines)
    assert json.loads((tmp_path / "z.json").read_text())["n_without_features"] == 4

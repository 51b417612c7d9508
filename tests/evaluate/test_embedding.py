"""Recordings, pictures and photographs become rows of one table, in order, whatever file they came in."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from ecgscan_lab.data.synthetic import synthetic_cohort, synthetic_records
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.pixels import fit_page
from ecgscan_lab.errors import ArgumentError, CheckpointError, PictureError
from ecgscan_lab.evaluate.embedding import embed_images, fitted
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.render.export import RenderSettings, render_dataset
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.train.loop import load_model


@pytest.fixture(scope="module")
def tower() -> TinyImageTower:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TinyImageTower(width=4, size=(96, 224)).eval()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return draw_page(synthetic_records(1, seed=3)[0], PageSpec(), dpi=100).pixels


def _cosine(a, b):
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_one_page_embeds_alike_from_every_kind_of_file(tmp_path, tower, pixels):
    pytest.importorskip("pypdfium2")
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.tiff", compression="tiff_deflate")
    picture.save(tmp_path / "c.jpg", quality=95)
    picture.save(tmp_path / "d.pdf", resolution=100.0, quality=95)
    table = embed_images(tmp_path, tower, batch_size=1)  # in a batch a row's rounding may go with its place
    assert table.ids == ("a", "b", "c", "d")
    assert np.array_equal(table.features[0], table.features[1])
    assert [_cosine(table.features[0], row) > 0.99 for row in table.features] == [True] * 4
    blank = embed_images({"blank": np.full_like(pixels, 255)}, tower).features[0]
    assert _cosine(table.features[0], blank) < 0.99  # the bound can fail


def test_pages_drawn_as_pdf_embed_like_pages_drawn_as_png(tmp_path, tower):
    pytest.importorskip("pypdfium2")
    for kind in ("png", "pdf"):
        dpi = {"dpi": 200} if kind == "png" else {}
        render_dataset("synthetic:2", tmp_path / kind, RenderSettings(format=kind, truth="none", **dpi))
    png, pdf = (embed_images(tmp_path / kind, tower, dpi=200.0) for kind in ("png", "pdf"))
    assert png.ids == pdf.ids
    for a, b in zip(png.features, pdf.features, strict=True):
        assert _cosine(a, b) > 0.99


def test_recordings_embed_as_the_models_own_pages(tiny_checkpoint):
    cohort = synthetic_cohort(9, seed=1)
    model, _ = load_model(tiny_checkpoint)
    for what, encode in (("tower", model.tower), ("shared", model.image_embeddings)):
        table = embed_images(cohort, tiny_checkpoint, what=what, batch_size=4)
        assert table.ids == tuple(record.record_id for record in cohort.records)
        assert np.allclose(table.features, embed_pages(encode, cohort, model.tower.size), atol=1e-4)
        assert table.provenance["what"] == what
        assert table.provenance["checkpoint"] == tiny_checkpoint.name
    assert table.provenance["weights_sha256"] == embed_images(cohort, model).provenance["weights_sha256"]


def test_a_cohort_of_another_rate_is_drawn_at_its_own_rate(tower):
    fast = synthetic_cohort(3, seed=1, fs_hz=500.0)
    assert np.allclose(embed_images(fast, tower).features, embed_pages(tower, fast, tower.size), atol=1e-4)


def test_order_batches_threads_and_chunks_do_not_matter(tower, monkeypatch):
    reference = embed_images("synthetic:11", tower)
    monkeypatch.setattr("ecgscan_lab.evaluate.embedding._CHUNK", 4)
    for options in ({"batch_size": 1}, {"batch_size": 3, "workers": 5}, {"batch_size": 64, "workers": 1}):
        table = embed_images("synthetic:11", tower, **options)
        assert table.ids == reference.ids
        assert np.allclose(table.features, reference.features, atol=1e-4)


def test_several_inputs_keep_the_order_they_were_given_in(tmp_path, tower, pixels):
    Image.fromarray(pixels).save(tmp_path / "z.png")
    seen = []
    inputs = [tmp_path / "z.png", "synthetic:2", {"mine": pixels}]
    table = embed_images(inputs, tower, batch_size=1, on_rows=lambda n, total: seen.append((n, total)))
    assert [table.ids[0], table.ids[-1]] == ["z", "mine"]
    assert table.info["kind"] == ("picture", "record", "record", "picture")
    assert np.array_equal(table.features[0], table.features[3])
    assert seen == [(4, 4)]


def test_pages_of_a_file_first_or_all(tmp_path, tower, pixels):
    sheets = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    sheets[0].save(tmp_path / "two.tif", save_all=True, append_images=sheets[1:])
    assert embed_images(tmp_path, tower).ids == ("two",)
    table = embed_images(tmp_path, tower, pages="all")
    assert table.ids == ("two", "two#2")
    assert table.info["page"] == (1, 2)
    assert _cosine(*table.features) < 0.999


def test_bad_files_stop_the_run_or_are_left_out_and_listed(tmp_path, tower, pixels):
    Image.fromarray(pixels).save(tmp_path / "good.png")
    Image.fromarray(pixels).save(tmp_path / "late.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:2000])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.tiff").write_text("no picture")
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "good.mask.png").touch()
    with pytest.raises(PictureError, match=r"cut\.png"):
        embed_images(tmp_path, tower)
    for _ in range(2):  # the second time from the cache
        table = embed_images(tmp_path, tower, on_bad="skip", cache=tmp_path / "kept", batch_size=1)
        assert table.ids == ("good", "late")
        assert [entry["id"] for entry in table.provenance["skipped"]] == ["cut", "empty", "text"]
        assert {entry["error"] for entry in table.provenance["skipped"]} == {"PictureError"}
        assert str(tmp_path) not in str(table.provenance)
    with pytest.raises(ArgumentError, match="none of 1"):
        embed_images(tmp_path / "cut.png", tower, on_bad="skip")


def test_the_cache_serves_and_follows_content_weights_and_plan(tmp_path, tower, pixels):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "a.png")
    counts = Counter()
    options = {"cache": tmp_path / "kept", "counts": counts}
    first = embed_images(folder, tower, **options)
    calls = []
    handle = tower.register_forward_hook(lambda *_: calls.append(1))
    assert np.array_equal(embed_images(folder, tower, **options).features, first.features)
    assert (counts, calls) == ({"miss": 1, "hit": 1}, [])
    Image.fromarray(255 - pixels).save(folder / "a.png")  # same name, other content
    assert not np.allclose(embed_images(folder, tower, **options).features, first.features)
    assert (counts["miss"], len(calls)) == (2, 1)
    embed_images("synthetic:2", tower, **options)
    embed_images("synthetic:2", tower, record_page="standard", **options)
    assert counts["miss"] == 4
    handle.remove()


def test_names_that_occur_twice_are_refused(tmp_path, tower, pixels):
    for name in ("one.png", "one.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(ArgumentError, match="'one'"):
        embed_images(tmp_path, tower)
    with pytest.raises(ArgumentError, match="named"):
        embed_images(["synthetic:2", "synthetic:3"], tower)


def test_what_cannot_be_embedded_is_refused_by_name(tmp_path, tower, tiny_checkpoint):
    (tmp_path / "empty").mkdir()
    for inputs in (tmp_path / "none.png", tmp_path / "empty", [], "ftp:x", "synthetic:0"):
        with pytest.raises(ArgumentError):
            embed_images(inputs, tower)
    for options in (
        {"what": "x"},
        {"rectify": "x"},
        {"on_bad": "x"},
        {"batch_size": 0},
        {"workers": 0},
        {"pages": "x"},
    ):
        with pytest.raises(ArgumentError) as caught:
            embed_images("synthetic:1", tower, **options)
        assert caught.value.field == next(iter(options))
    with pytest.raises(ArgumentError, match="shared space"):
        embed_images("synthetic:1", tower, what="shared")
    with pytest.raises(ArgumentError, match="model"):
        embed_images("synthetic:1", torch.nn.Linear(2, 2))
    with pytest.raises(CheckpointError):
        embed_images("synthetic:1", tmp_path / "none.safetensors")
    with pytest.raises(PictureError):
        embed_images({"x": np.ones((40, 60, 3))}, tower)


def test_large_pictures_are_fitted_whole_and_nearly_as_directly(pixels):
    large = cv2.resize(pixels, (3000, 2300), interpolation=cv2.INTER_CUBIC)
    large[:, :40] = (255, 0, 0)  # marks at the very edges survive: nothing is cropped
    large[:, -40:] = (0, 0, 255)
    small = fitted(large, (96, 224)).numpy()
    direct = fit_page(torch.from_numpy(large).permute(2, 0, 1)[None], (96, 224))[0].numpy()
    assert np.abs(small.astype(int) - direct).mean() < 2
    columns = np.flatnonzero((small != 255).any((0, 1)))
    assert small[0, 48, columns[0]] > small[2, 48, columns[0]] + 60
    assert small[2, 48, columns[-1]] > small[0, 48, columns[-1]] + 60
    assert fitted(large, (96, 224), "squash").shape == (3, 96, 224)
    assert (fitted(large, (96, 224), "squash")[:, :, 0].float().mean(1) - torch.tensor([255, 0, 0])).abs().max() < 10


@pytest.mark.slow
def test_a_turned_page_laid_flat_embeds_nearer_to_the_upright_one(tower):
    record = synthetic_records(1, seed=5)[0]
    upright = draw_page(record, PageSpec(), dpi=110).pixels
    turned = np.ascontiguousarray(np.rot90(upright, 2))
    page = {"upright": upright, "turned": turned, "blank": np.full((900, 1200, 3), 240, np.uint8)}
    plain, flat = embed_images(page, tower), embed_images(page, tower, rectify="auto")
    assert flat.info["flat"] == (True, True, False)
    assert flat.info["note"][2].startswith("not laid flat")
    assert np.array_equal(flat.features[2], plain.features[2])
    assert _cosine(*flat.features[:2]) > max(0.99, _cosine(*plain.features[:2]))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("rectify", ["none", "auto", "redraw"])
def test_real_photographs_embed_both_ways(real_data, tower, rectify):
    folder = real_data / "other" / "real_images" / "ecg_paper_1k"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    with pytest.raises(ArgumentError, match="pictures and recordings"):
        embed_images(folder, tower)
    table = embed_images(f"pictures:{folder}", tower, rectify=rectify)
    assert len(table) == len(list(folder.rglob("*.jpg")))
    assert (np.linalg.norm(table.features, axis=1) > 0).all()
    if rectify != "none":
        assert sum(table.info["flat"]) >= len(table) - 1
    records = embed_images(f"records:{folder}", tower)
    assert records.info["kind"][0] == "record"


@pytest.mark.slow
def test_a_photographed_page_drawn_again_is_nearly_the_page_the_encoder_knows(tower):
    record = synthetic_records(1, seed=4)[0]
    pages = {
        "clean": draw_page(record, PageSpec(), size=(720, 1680)).pixels,
        "photo": draw_page(record, PageSpec(), size=(900, 1800), degrade="photo", seed=3).pixels,
    }
    table = {how: embed_images(pages, tower, rectify=how, record_page=PageSpec()) for how in ("none", "auto", "redraw")}
    known = table["none"].features[0]
    near = {how: _cosine(known, found.features[1]) for how, found in table.items()}
    assert table["redraw"].info["flat"] == (True, True)
    assert table["redraw"].info["note"] == (None, None)
    assert 1 - near["redraw"] < 0.5 * (1 - max(near["none"], near["auto"])), near


def test_a_picture_without_a_page_is_embedded_as_it_is_and_says_why(tower):
    noise = {"noise": np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)}
    plain, redrawn = embed_images(noise, tower), embed_images(noise, tower, rectify="redraw")
    assert np.allclose(plain.features, redrawn.features)
    assert "not laid flat" in redrawn.info["note"][0]

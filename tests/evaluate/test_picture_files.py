"""Every kind of picture comes out upright 8-bit RGB, and every fault is a typed error that names the file."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from ecgscan_lab.errors import PictureError
from ecgscan_lab.evaluate.picture_files import count_pages, decode_picture, read_file


def _page(height=40, width=60):
    """Not symmetric: red left, blue at the top right, white elsewhere."""
    page = np.full((height, width, 3), 255, np.uint8)
    page[:, : width // 3] = (200, 0, 0)
    page[: height // 4, width // 2 :] = (0, 0, 160)
    return page


def _bytes(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _decoded(picture, kind="PNG", page=1, **options):
    return decode_picture(_bytes(picture, kind, **options), "x", page)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})])
def test_lossless_files_come_back_exactly(kind, options):
    found = _decoded(Image.fromarray(_page()), kind, **options)
    assert np.array_equal(found, _page())
    assert found.flags.c_contiguous
    assert found.dtype == np.uint8


def test_jpeg_comes_back_nearly():
    found = _decoded(Image.fromarray(_page()), "JPEG", quality=95, subsampling=0)
    assert np.abs(found.astype(int) - _page()).mean() < 3


def test_palette_grey_and_bilevel_become_rgb():
    page = Image.fromarray(_page())
    grey = np.asarray(page.convert("L"))
    assert np.array_equal(_decoded(page.convert("P", palette=Image.Palette.ADAPTIVE)), _page())
    assert np.array_equal(_decoded(page.convert("L"))[..., 1], grey)
    assert set(np.unique(_decoded(page.convert("1", dither=Image.Dither.NONE), "TIFF"))) == {0, 255}


def test_transparent_parts_become_white_paper():
    layers = np.dstack([_page(), np.full(_page().shape[:2], 255, np.uint8)])
    layers[:, :20, 3] = 0  # the red part is not there
    found = _decoded(Image.fromarray(layers))
    assert (found[:, :20] == 255).all()
    assert np.array_equal(found[:, 20:], _page()[:, 20:])
    palette = Image.fromarray(_page()).convert("P", palette=Image.Palette.ADAPTIVE)
    clear = palette.getpixel((0, 20))
    assert (_decoded(palette, transparency=clear)[:, :20] == 255).all()
    grey = Image.fromarray(np.full((40, 60), 30, np.uint8))
    grey.putalpha(0)
    assert (_decoded(grey) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_upper_bits(kind):
    ramp = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    found = _decoded(Image.fromarray(ramp), kind)
    assert np.array_equal(found[..., 0], ramp >> 8)  # neither clipped at 255 nor wrapped around


def test_sixteen_bit_white_is_zero_tiff_is_turned_over():
    ramp = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    content = bytearray(_bytes(Image.fromarray(ramp), "TIFF"))
    tag = content.find((262).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    assert content[tag + 8] == 1
    content[tag + 8] = 0
    assert np.array_equal(decode_picture(bytes(content), "x")[..., 0], 255 - (ramp >> 8))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_and_not_its_negative(kind):
    found = _decoded(Image.fromarray(_page()).convert("CMYK"), kind).astype(int)
    assert np.abs(found - _page()).mean() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_turn_that_a_camera_notes_is_carried_out(orientation, kind):
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, 1)
    exif = Image.Exif()
    exif[0x0112] = undo
    stored = Image.fromarray(_page())
    stored.getexif()[0x0112] = undo
    stored = ImageOps.exif_transpose(stored) if undo > 1 else stored
    exif[0x0112] = orientation
    found = _decoded(
        Image.fromarray(np.asarray(stored)), kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {})
    )
    assert found.shape == _page().shape
    assert np.abs(found.astype(int) - _page()).mean() < 6


def test_damaged_exif_beside_sound_pixels_turns_nothing():
    content = _bytes(Image.fromarray(_page()), exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert np.array_equal(decode_picture(content, "x"), _page())


def test_pages_of_a_tiff_are_counted_and_chosen():
    pages = [Image.fromarray(np.full((40, 60, 3), shade, np.uint8)) for shade in (10, 20, 30)]
    content = _bytes(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert count_pages(content, "x") == 3
    assert [int(decode_picture(content, "x", page)[0, 0, 0]) for page in (1, 2, 3)] == [10, 20, 30]
    with pytest.raises(PictureError, match="no page 4"):
        decode_picture(content, "x", 4)


def test_animated_png_and_foreign_kinds_are_refused():
    frames = [Image.fromarray(np.full((40, 60, 3), shade, np.uint8)) for shade in (10, 200)]
    with pytest.raises(PictureError, match="animated"):
        _decoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    for kind in ("GIF", "BMP", "WEBP", "PPM"):
        with pytest.raises(PictureError, match="kind"):
            _decoded(frames[0], kind)
    with pytest.raises(PictureError, match="mode F"):
        _decoded(Image.fromarray(np.ones((40, 60), np.float32)), "TIFF")
    with pytest.raises(PictureError, match="mode I"):
        _decoded(Image.fromarray(np.ones((40, 60), np.int32)), "TIFF")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_cut_file_is_an_error_and_never_half_a_picture(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = _bytes(noise, kind)
    assert decode_picture(whole, "x").shape == (64, 64, 3)
    for share in (0.0, 0.01, 0.1, 0.3, 0.5, 0.8, 0.95):
        with pytest.raises(PictureError) as caught:
            decode_picture(whole[: int(share * len(whole))], "scan.png")
        assert caught.value.file == "scan.png"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_random_damage_gives_a_picture_or_a_typed_error(kind):
    whole = _bytes(Image.fromarray(_page()), kind)
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.choice(len(whole), 3):
            damaged[place] = int(rng.integers(256))
        try:
            found = decode_picture(bytes(damaged), "x", max_pixels=100_000)
        except PictureError:
            continue
        assert found.dtype == np.uint8
        assert found.shape[2] == 3


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10_000, 9000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header_alone(width, height):
    content = bytearray(_bytes(Image.fromarray(_page())))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    with pytest.raises(PictureError, match=r"large|pixels"):
        decode_picture(bytes(content), "x")


def test_sizes_are_bounded_below_and_above():
    with pytest.raises(PictureError, match="at least 16"):
        _decoded(Image.fromarray(np.zeros((1, 1, 3), np.uint8)))
    with pytest.raises(PictureError) as caught:
        decode_picture(_bytes(Image.fromarray(_page())), "x", max_pixels=40 * 60 - 1)
    assert caught.value.field == "max_pixels"


def test_what_a_name_says_does_not_count(tmp_path):
    (tmp_path / "page.jpg").write_bytes(_bytes(Image.fromarray(_page())))
    assert np.array_equal(decode_picture(read_file(tmp_path / "page.jpg"), "page.jpg"), _page())


def test_empty_missing_and_irregular_files_are_typed_errors(tmp_path):
    (tmp_path / "empty.png").touch()
    for path in (tmp_path / "empty.png", tmp_path / "none.png", tmp_path):
        with pytest.raises(PictureError) as caught:
            read_file(path)
        assert caught.value.file == str(path)


# ---- PDF


def _pdf(tmp_path, n=1):
    pytest.importorskip("pypdfium2")
    pages = [Image.fromarray(np.full((400, 600, 3), 250 - 60 * i, np.uint8)) for i in range(n)]
    pages[0].save(tmp_path / "pages.pdf", save_all=True, append_images=pages[1:], resolution=100.0)
    return (tmp_path / "pages.pdf").read_bytes()


def test_pdf_pages_are_drawn_at_the_resolution_asked_for(tmp_path):
    content = _pdf(tmp_path, n=3)
    assert count_pages(content, "x") == 3
    assert decode_picture(content, "x", 2, dpi=100.0).shape == (400, 600, 3)
    assert abs(int(decode_picture(content, "x", 3, dpi=50.0)[100, 100, 0]) - 130) < 4


def test_pdf_faults_are_typed_errors(tmp_path):
    content = _pdf(tmp_path)
    with pytest.raises(PictureError, match="no page"):
        decode_picture(content, "x", 2)
    with pytest.raises(PictureError, match="pixels"):
        decode_picture(content, "x", dpi=10_000.0)
    for damaged in (b"%PDF-1.7", b"%PDF-1.7\n" + bytes(200), content[: len(content) // 10]):
        with pytest.raises(PictureError):
            decode_picture(damaged, "x")


def test_pdf_without_the_extra_says_what_to_install(tmp_path, monkeypatch):
    import sys

    from ecgscan_lab.errors import MissingExtraError

    content = _pdf(tmp_path)
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(MissingExtraError, match=r"ecgscan-lab\[pdf\]"):
        decode_picture(content, "x")

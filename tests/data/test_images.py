"""Decoding: every mode and format, broken files by name, sizes brought together, memory kept in bounds."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from errata.data import encoder_for, loader, read
from errata.data.images import Images, decode, looks_like_image
from errata.errors import DataError, ParameterError, UnknownNameError


def blob(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def colour(size=(12, 10), value=(200, 30, 90)):
    return Image.new("RGB", size, value)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_formats_are_known_by_their_first_bytes_and_decoded(format):
    data = blob(colour(), format)
    assert looks_like_image(data)
    pixels = decode(data)
    assert (pixels.shape, pixels.dtype) == ((3, 10, 12), np.uint8)
    assert np.abs(pixels[:, 5, 5].astype(int) - [200, 30, 90]).max() <= 6


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (4, 4), 77), [77]),
        (Image.new("1", (4, 4), 1), [255]),
        (colour((4, 4)).convert("P", palette=Image.Palette.ADAPTIVE), [200, 30, 90]),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 0)), [255, 255, 255]),
        (Image.new("LA", (4, 4), (0, 255)), [0, 0, 0]),
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), [255, 0, 0]),
        (Image.fromarray(np.full((4, 4), 257 * 99, dtype=np.uint16)), [99]),
        (Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)), [128]),
    ],
)
def test_every_mode_becomes_grey_or_colour(image, expected):
    data = blob(image, "TIFF" if image.mode in ("F", "CMYK") else "PNG")
    assert decode(data)[:, 0, 0].tolist() == expected
    assert decode(data, (3, 4, 4)).shape == (3, 4, 4)
    assert decode(data, (1, 2, 6)).shape == (1, 2, 6)


def test_a_turned_photo_is_set_upright():
    image = Image.new("RGB", (8, 4), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 4, 4))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    pixels = decode(blob(image, "PNG", exif=exif))
    assert pixels.shape == (3, 8, 4)
    assert (pixels[0, 0, 0], pixels[0, 7, 0]) == (255, 0)


def bomb(side=60_000):
    """A PNG of a few bytes that claims an enormous size."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (None, "missing"),
        (b"not an image at all", "not a picture"),
        (blob(colour(), "PNG")[:48], "broken|can't be opened|not a picture"),
        (blob(Image.effect_noise((64, 64), 90), "JPEG")[:900], "broken"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_what_can_not_be_decoded_says_why(data, message):
    with pytest.raises(DataError, match=message):
        decode(data)


@pytest.mark.parametrize("side", [11_000, 60_000])
def test_decompression_bombs_are_refused(side):
    images = Images([bomb(side), blob(colour())])
    images.prepare()
    assert list(images.problems) == [0]
    assert "100,000,000 pixels" in images.problems[0]


def table(blobs, labels=None):
    labels = labels or [i % 2 for i in range(len(blobs))]
    return pa.table({"image": pa.array(blobs, pa.binary()), "label": labels})


def test_broken_images_are_named_skipped_or_fatal():
    good = [blob(colour(value=(i, i, 9))) for i in range(6)]
    mixed = table([good[0], b"junk", good[2], None, good[4], good[5]], list("ababcc"))
    with pytest.raises(
        DataError, match=r"2 of 6 images .* row 1: it is not a picture.*row 3: .*missing.*unreadable='skip'"
    ):
        read(mixed)
    data = read(mixed, unreadable="skip")
    assert data.rows.tolist() == [0, 2, 4, 5]
    assert data.labels.names().tolist() == ["a", "a", "c", "c"]
    assert data.labels.classes == ["a", "b", "c"]
    pixels = encoder_for(data).fit(data).encode(data)
    assert pixels[:, 0, 0, 0].tolist() == [0, 2, 4, 5]
    assert any("row 1" in line and "left out" in line for line in data.describe())
    part = data.subset([3, 1])
    assert part.rows.tolist() == [5, 2]
    assert encoder_for(part).fit(data).encode(part)[:, 0, 0, 0].tolist() == [5, 2]
    with pytest.raises(DataError, match="2 of 2 images"):
        read(table([b"x", b"y"]), unreadable="skip", image_column="image")
    with pytest.raises(ParameterError, match="'error' or 'skip'"):
        read(mixed, unreadable="ignore")


def test_another_label_keeps_the_rows_that_could_be_read():
    good = [blob(colour(value=(i, i, 9))) for i in range(4)]
    source = table([good[0], b"junk", good[2], good[3]]).append_column("other", pa.array(list("xyxz")))
    data = read(source, "label", unreadable="skip").subset([2, 0])
    again = data.select_label("other")
    assert again.rows.tolist() == [3, 0]
    assert again.labels.names().tolist() == ["z", "x"]
    assert again.images is data.images


@pytest.mark.parametrize(
    ("sizes", "options", "expected"),
    [
        ([(20, 12)] * 4, {}, (12, 20)),
        ([(20, 12), (30, 30), (32, 8)], {}, (32, 32)),
        ([(40, 50), (60, 60), (70, 64)], {}, (64, 64)),
        ([(400, 500), (60, 60), (700, 640)], {}, (128, 128)),
        ([(400, 300)] * 3, {}, (128, 128)),
        ([(20, 12)] * 4, {"image_size": 16}, (16, 16)),
    ],
)
def test_sizes_are_brought_together_and_it_is_told(sizes, options, expected):
    data = read(table([blob(colour(size)) for size in sizes]), **options)
    assert data.images.shape == (3, *expected)
    told = " ".join(data.describe())
    assert f"Images are {expected[1]} x {expected[0]}, colour" in told
    assert encoder_for(data).fit(data).encode(data).shape == (len(sizes), 3, *expected)


def test_grey_images_stay_grey_unless_one_is_coloured(monkeypatch):
    from errata.data import images

    grey = [blob(Image.new("L", (8, 8), i)) for i in range(10)]
    assert read(table(grey)).images.shape == (1, 8, 8)
    grey_in_colour = blob(Image.new("RGB", (8, 8), (5, 5, 5)))
    monkeypatch.setattr(images, "SAMPLE", 2)  # the odd ones are not among those looked at first
    assert read(table([*grey, grey_in_colour, grey[0]])).images.shape == (1, 8, 8)
    with_colour = read(table([*grey, blob(colour((8, 8))), grey[0]]))
    assert with_colour.images.shape == (3, 8, 8)
    assert with_colour.images.array[10, :, 0, 0].tolist() == [200, 30, 90]
    assert with_colour.images.array[3, :, 0, 0].tolist() == [3, 3, 3]


def test_images_beyond_the_memory_are_decoded_by_workers_to_the_same_batches():
    source = table([blob(Image.effect_noise((40, 40), 50 + i).convert("RGB")) for i in range(12)])
    kept, lazy = read(source), read(source, memory=1000)
    encoder = encoder_for(lazy).fit(lazy)
    x, y = encoder.encode(lazy), torch.as_tensor(lazy.labels.codes)
    assert isinstance(x, torch.utils.data.Dataset)
    assert torch.equal(torch.stack([x[i] for i in range(12)]), encoder.encode(kept))
    options = {"batch_size": 5, "seed": 3}
    whole = list(loader(encoder.encode(kept), y, **options))
    for workers in (0, 1):
        cut = list(loader(x, y, workers=workers, **options))
        assert [type(b).__name__ for b in cut] == ["Batch"] * 3
        for a, b in zip(whole, cut, strict=True):
            assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
    half = encoder.encode(lazy.subset([11, 0]))
    assert torch.equal(half[0], x[11])


def test_new_images_of_another_size_are_brought_to_the_models(tmp_path):
    data = read(table([blob(colour((16, 16)))] * 4))
    encoder = encoder_for(data).fit(data)
    new = read(table([blob(colour((90, 50)))] * 2))
    assert encoder.encode(new).shape == (2, 3, 16, 16)
    assert encoder.reading() == {"image_column": "image", "image_size": [16, 16]}
    with pytest.raises(DataError, match=r"\(3, 16, 16\), as in training; got \(3, 8, 8\)"):
        encoder.encode(read(np.zeros((2, 3, 8, 8), dtype=np.uint8)))


def test_previews_are_small_pictures():
    data = read(table([blob(colour((300, 200)))] * 2))
    preview = data.preview(0)
    with Image.open(io.BytesIO(preview.png)) as shown:
        assert (shown.format, shown.size) == ("PNG", (96, 64))
    assert (preview.kind, preview.row) == ("image", {"label": 0})
    for array in (np.random.rand(2, 1, 8, 8), np.random.randint(0, 255, (2, 3, 8, 8)), np.zeros((2, 5, 8, 8))):
        with Image.open(io.BytesIO(read(array).preview(1).png)) as shown:
            assert shown.size == (8, 8)


# -- paths in a table -------------------------------------------------------------------------------------------------


def test_a_column_of_paths_below_the_tables_folder(tmp_path):
    (tmp_path / "pics").mkdir()
    for i in range(3):
        (tmp_path / "pics" / f"ü{i}.PNG").write_bytes(blob(colour(value=(i, 0, 0))))
    (tmp_path / "a.csv").write_text("file,size,label\n" + "".join(f"pics/ü{i}.PNG,{i},{i % 2}\n" for i in range(3)))
    data = read(tmp_path / "a.csv")
    assert (data.kind, [c.kind for c in data.columns]) == ("image", ["image", "ignored", "category"])
    assert data.images.array[:, 0, 0, 0].tolist() == [0, 1, 2]
    (tmp_path / "pics" / "ü1.PNG").unlink()
    with pytest.raises(DataError, match=r"1 of 3 images .*ü1\.PNG: it can't be opened \(No such file"):
        read(tmp_path / "a.csv")
    assert read(tmp_path / "a.csv", unreadable="skip").rows.tolist() == [0, 2]


@pytest.mark.parametrize("value", ["../out.png", "{outside}", "link/out.png", "a\\0.png"])
def test_paths_never_lead_out_of_the_tables_folder(tmp_path, value):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "out.png").write_bytes(blob(colour()))
    (home / "in.png").write_bytes(blob(colour()))
    (home / "link").symlink_to(tmp_path, target_is_directory=True)
    value = value.replace("{outside}", str(tmp_path / "out.png")).replace("\\0", "\0")
    (home / "a.jsonl").write_text(
        '{"file": "in.png", "label": 1}\n' + f'{{"file": {__import__("json").dumps(value)}, "label": 0}}\n'
    )
    with pytest.raises(DataError, match=r"row 1: .*(lies outside of|is no path)"):
        read(home / "a.jsonl", image_column="file", unreadable="skip")


def test_a_column_that_holds_no_images_is_told():
    source = pa.table({"n": [1, 2, 3], "text": ["a", "b", "a"], "label": [0, 1, 0]})
    with pytest.raises(DataError, match=r"'n' .* can't be images: it holds int64"):
        read(source, image_column="n")
    with pytest.raises(UnknownNameError, match="no column named 'img'"):
        read(source, image_column="img")
    two = table([blob(colour())] * 3).append_column("second", pa.array([blob(colour())] * 3))
    with pytest.raises(DataError, match="several columns of images: image, second"):
        read(two)
    assert [c.kind for c in read(two, image_column="second").columns] == ["ignored", "category", "image"]


def test_labels_for_all_rows_fit_the_rows_that_could_be_read():
    source = table([blob(colour()), b"junk", blob(colour()), blob(colour())]).drop_columns("label")
    data = read(source, ["a", "b", "c", "a"], unreadable="skip")
    assert data.labels.names().tolist() == ["a", "c", "a"]
    assert data.labels.classes == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"each of the 3 rows .*; got 2"):
        read(source, ["a", "b"], unreadable="skip")


@pytest.mark.parametrize("size", [0, 2.5, True, (8,), (8, 9, 9), 5000])
def test_a_size_that_makes_no_sense_is_told(size):
    with pytest.raises(ParameterError, match="image_size"):
        read(table([blob(colour())] * 2), image_size=size)
    assert read(table([blob(colour())] * 2), image_size=(6, 9)).images.shape == (3, 6, 9)

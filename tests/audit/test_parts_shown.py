"""Boxes upon their picture, and parts in words."""

import io

import numpy as np
import pytest
from PIL import Image

import errata
from errata.audit.parts_shown import boxes_png, places
from errata.audit.rows import worst_rows
from errata.data.overlay import GIVEN, PROPOSED


@pytest.fixture
def ledger(tmp_path):
    """A picture of 400 x 200 with a box of the wrong class, and one that the detector sees elsewhere."""
    Image.fromarray(np.full((200, 400, 3), 128, dtype=np.uint8)).save(tmp_path / "a.png")
    given = [{"boxes": [[20, 20, 120, 120], [200, 50, 300, 150]], "labels": ["cat", "dog"]}]
    seen = [{"boxes": [[20, 20, 120, 120], [220, 50, 330, 150]], "labels": ["dog", "dog"], "scores": [0.99, 0.99]}]
    return errata.audit(given, predictions=seen, images=tmp_path, task="boxes", classes=["cat", "dog"])


def test_a_suspicious_box_is_drawn_where_it_is(ledger):
    with Image.open(io.BytesIO(boxes_png(ledger, 0))) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (96, 192, 3)
    scale = 192 / 400
    assert np.abs(pixels[round(60 * scale), round(20 * scale)] - np.array([GIVEN, PROPOSED])).sum(1).min() < 10
    assert pixels[round(60 * scale), round(60 * scale)].tolist() == [128] * 3


def test_boxes_are_told_in_words(ledger):
    (row,) = worst_rows(ledger)
    told = row["parts"][0]
    assert (told["given"], told["proposed"]) == ("cat", "dog")
    assert "box 20, 20 to 120, 120" in told["where"]
    assert "nan" not in str(row["parts"])


def test_nothing_is_drawn_where_the_picture_has_gone_or_there_are_no_boxes(ledger, tmp_path):
    (tmp_path / "a.png").unlink()
    assert boxes_png(ledger, 0) is None
    plain = errata.audit(np.arange(60.0)[:, None], np.arange(60) % 2, progress=False)
    assert boxes_png(plain, 0) is None
    assert list(places(ledger.parts).columns)[:1] == ["kind"]

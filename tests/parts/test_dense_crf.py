"""A dense CRF draws predictions to the edges of the image."""

from __future__ import annotations

import pytest
import torch

from errata.errors import MissingExtraError, ParameterError
from errata.parts.dense_crf import dense_crf


def blurred():
    """Two images of a bright square; predictions of it that reach two pixels too far to the right, not very surely."""
    truth = torch.zeros(2, 24, 24, dtype=torch.int64)
    truth[:, 6:18, 6:16] = 1
    images = (40 + 160 * truth).to(torch.uint8)[:, None]
    said = truth.clone()
    said[:, 6:18, 16:18] = 1
    p = torch.full((2, 2, 24, 24), 0.3).scatter(1, said[:, None], 0.7)
    return truth, images, p


def test_what_is_wrong_is_told_before_the_package_is_looked_for():
    _, images, p = blurred()
    for args, says in [
        ((p[0], images), "Expected prob"),
        ((p, images[:, :, :-1]), "other sizes"),
        ((p, images[:1]), "other"),
    ]:
        with pytest.raises(ParameterError, match=says):
            dense_crf(*args)
    with pytest.raises(ParameterError, match="iterations"):
        dense_crf(p, images, iterations=0)


def test_without_the_package_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    _, images, p = blurred()
    with pytest.raises(MissingExtraError, match=r"errata\[crf\]"):
        dense_crf(p, images)


@pytest.mark.parametrize("form", ["bytes", "floats", "colour"])
def test_predictions_are_drawn_to_the_edges(form):
    pytest.importorskip("pydensecrf", reason="needs the extra 'crf', which is compiled when it is installed")
    truth, images, p = blurred()
    images = {"bytes": images, "floats": images / 255 - 0.5, "colour": images.expand(-1, 3, -1, -1)}[form]
    found = dense_crf(p, images, smooth=(1.0, 1.0), alike=(20.0, 13.0, 5.0))
    torch.testing.assert_close(found.sum(1), torch.ones(2, 24, 24), rtol=0, atol=1e-4)
    assert (p.argmax(1) != truth).float().mean() > 0.04
    assert (found.argmax(1) != truth).float().mean() < 0.005

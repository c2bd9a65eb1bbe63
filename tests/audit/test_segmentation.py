import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

import errata
from errata.errors import DataError, ParameterError


@pytest.fixture(scope="module")
def streets():
    """30 images of a street below a sky with a house; in five of them a part of the sky is labelled as house."""
    rng = np.random.default_rng(0)
    truth = np.zeros((30, 24, 32), dtype=np.int64)
    truth[:, 12:] = 1
    truth[:, 6:16, 20:28] = 2
    probs = np.where(truth[:, None] == np.arange(3)[None, :, None, None], 4.0, 0.0) + rng.normal(size=(30, 3, 24, 32))
    probs = np.exp(probs)
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    masks = truth.copy()
    wrong = np.zeros(30, dtype=bool)
    wrong[[2, 9, 14, 20, 27]] = True
    masks[wrong, 1:8, 3:10] = 2
    return masks, probs, wrong


def test_wrong_regions_are_found_with_their_place(streets, tmp_path):
    masks, probs, wrong = streets
    ledger = errata.audit(
        masks, pred_probs=probs, task="segmentation", classes=["sky", "street", "house"], progress=False
    )
    assert (ledger.issue == wrong).all()
    assert set(ledger.order[:5]) == set(np.flatnonzero(wrong))
    parts = ledger.parts
    assert sorted(set(parts["row"])) == np.flatnonzero(wrong).tolist()
    big = parts.sort_values("pixels").groupby("row").tail(1)
    assert (big["given"] == "house").all()
    assert (big["proposed"] == "sky").all()
    assert big["x0"].between(3, 5).all()
    assert big["y1"].between(6, 8).all()
    assert ledger.meta["pixel_noise_rate"] == pytest.approx(5 * 49 / masks.size, abs=0.005)
    ledger.save(tmp_path)
    loaded = errata.Ledger.load(tmp_path)
    assert loaded.parts["x1"].tolist() == parts["x1"].tolist()


def test_folders_mapped_files_and_arrays_give_the_same(streets, tmp_path):
    masks, probs, _ = streets
    for name in ("masks", "probs"):
        (tmp_path / name).mkdir()
    for i in range(6):
        Image.fromarray(masks[i].astype(np.uint8)).save(tmp_path / "masks" / f"{i}.png")
        np.save(tmp_path / "probs" / f"{i}.npy", probs[i])
    np.save(tmp_path / "m.npy", masks[:6])
    np.save(tmp_path / "p.npy", probs[:6])
    options = {"task": "segmentation", "progress": False}
    one = errata.audit(masks[:6], pred_probs=probs[:6], **options)
    two = errata.audit(str(tmp_path / "masks"), pred_probs=str(tmp_path / "probs"), **options)
    three = errata.audit(
        labels=str(tmp_path / "m.npy"), pred_probs=np.load(tmp_path / "p.npy", mmap_mode="r"), **options
    )
    assert (one.trust == two.trust).all()
    assert (one.trust == three.trust).all()
    assert one.parts.equals(two.parts)
    assert two.columns["image"].tolist()[0] == "0.png"
    assert two.meta["source_path"] == str(tmp_path / "masks")
    alone = errata.audit(masks[2:3], pred_probs=probs[2:3], **options)
    assert alone.trust[0] == one.trust[2]


def test_unlabelled_pixels_do_not_count(streets):
    masks, probs, wrong = streets
    void = np.where((masks == 2) & wrong[:, None, None], 255, masks)
    void[5] = 255
    ledger = errata.audit(void, pred_probs=probs, task="segmentation", ignore=255, progress=False)
    assert not ledger.issue.any()
    assert ledger.given[5] == -1
    with pytest.raises(DataError, match=r"Image 2: .*class 255"):
        errata.audit(void, pred_probs=probs, task="segmentation", progress=False)


def test_what_is_refused_and_pictures(streets):
    masks, probs, _ = streets
    with pytest.raises(ParameterError, match="pred_probs"):
        errata.audit(masks, task="segmentation")
    with pytest.raises(DataError, match="3 classes, and 2 names"):
        errata.audit(masks, pred_probs=probs, classes=["a", "b"], task="segmentation")
    pictures = np.zeros((30, 24, 32, 3), dtype=np.uint8)
    pictures[:, :, :, 0] = masks * 40
    ledger = errata.audit(masks, pred_probs=probs, task="segmentation", images=pictures, progress=False)
    assert len(ledger.data) == 30
    with pytest.raises(DataError, match="30 masks and 3 pictures"):
        errata.audit(masks, pred_probs=probs, task="segmentation", images=pictures[:3], progress=False)


def test_real_masks_with_planted_errors(shared_data):
    """Camvid: in six of forty frames one class in a part of the mask is renamed; probabilities are blurred truth."""
    from scipy.ndimage import uniform_filter

    with zipfile.ZipFile(shared_data / "seg" / "camvid_240x180.zip") as archive:
        names = [n for n in sorted(archive.namelist()) if n.endswith(".png") and "train" in n][::9][:40]
        truth = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(n)))) for n in names]).astype(np.int64)
    assert truth.max() <= 11
    rng = np.random.default_rng(0)
    onehot = (truth[:, None] == np.arange(12)[None, :, None, None]).astype(np.float32)
    probs = uniform_filter(onehot, size=(0, 0, 9, 9)) + 0.02
    probs /= probs.sum(axis=1, keepdims=True)
    masks, wrong = truth.copy(), np.zeros(len(truth), dtype=bool)
    for i in rng.choice(len(truth), 6, replace=False):
        part = masks[i, 40:120, 60:140]
        common = np.bincount(part.ravel()).argmax()
        part[part == common] = (common + 3) % 11
        wrong[i] = True
    ledger = errata.audit(masks, pred_probs=probs, task="segmentation", ignore=11, progress=False)
    assert average_precision_score(wrong, -ledger.trust) > 0.8
    assert average_precision_score(wrong, ledger.columns["wrong_pixels"]) > 0.95


def test_ordinary_disagreement_is_not_flagged_and_what_goes_beyond_it_is():
    """Masks that are right, predictions that shift edges by up to two pixels; four areas of another class besides."""
    rng = np.random.default_rng(0)
    masks, shifted = np.zeros((2, 60, 40, 48), dtype=int)
    for i in range(60):
        left, top = rng.integers(4, 14, 2)
        masks[i, top : top + 20, left : left + 24] = 1
        by = rng.integers(-2, 3, 2)
        shifted[i] = np.roll(masks[i], by, axis=(0, 1))
    probs = np.where(np.stack([shifted == 0, shifted == 1], axis=1), 0.8, 0.2)
    wrong = np.array([7, 20, 33, 51])
    given = masks.copy()
    for i in wrong:
        rows, columns = np.flatnonzero(masks[i].any(axis=1)), np.flatnonzero(masks[i].any(axis=0))
        given[i, rows[0] + 1 : rows[0] + 19, columns[0] + 1 : columns[0] + 23] = 0
    every = errata.audit(given, pred_probs=probs, task="segmentation", chance=1, progress=False)
    ledger = errata.audit(given, pred_probs=probs, task="segmentation", progress=False)
    assert every.issue.mean() > 0.8
    assert set(wrong) <= set(np.flatnonzero(ledger.issue))
    assert ledger.issue.sum() <= 4 + 5  # one right mask in twenty may be flagged
    assert len(ledger.parts) == len(every.parts)
    assert "are not flagged" in ledger.meta["notes"][0]
    assert (ledger.trust == every.trust).all()
    few = errata.audit(given[5:10], pred_probs=probs[5:10], task="segmentation", progress=False)
    assert few.parts["issue"].all()  # five images can't tell what is usual
    with pytest.raises(ParameterError, match="chance"):
        errata.audit(given, pred_probs=probs, task="segmentation", chance=0)


def test_pictures_masks_and_names_from_folders(streets, tmp_path):
    masks, probs, _ = streets
    for place in ("pictures", "masks"):
        (tmp_path / place).mkdir()
    for i in range(4):
        Image.fromarray(masks[i].astype(np.uint8)).save(tmp_path / "masks" / f"{i}.png")
        Image.fromarray(np.zeros((24, 32, 3), dtype=np.uint8)).save(tmp_path / "pictures" / f"{i}.jpg")
    (tmp_path / "masks" / "classes.txt").write_text("road\nsky\ncar\n")
    options = {"label": str(tmp_path / "masks"), "pred_probs": probs[:4], "task": "segmentation", "progress": False}
    ledger = errata.audit(str(tmp_path / "pictures"), **options)
    assert ledger.meta["label_names"] == ["road", "sky", "car"]
    assert ledger.meta["images_path"] == str(tmp_path / "pictures")
    assert len(ledger.data) == 4
    named = errata.audit(str(tmp_path / "pictures"), classes="a, b, c", **options)
    assert named.meta["label_names"] == ["a", "b", "c"]

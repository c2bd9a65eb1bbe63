"""Real files, as people have them."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest

from errata.data import encoder_for, read


@pytest.fixture
def cifar(shared_data, tmp_path):
    """The first 2,000 of CIFAR-10N's images, with the file's metadata."""
    table = pq.ParquetFile(shared_data / "cifar10n_train.parquet").read_row_group(0).slice(0, 2000)
    path = tmp_path / "cifar10n.parquet"
    pq.write_table(table, path)
    return path


def test_images_in_a_parquet_column_with_several_human_labels(cifar):
    data = read(cifar, "worst_label")
    assert (data.kind, len(data)) == ("image", 2000)
    assert data.labels.classes[:3] == ["airplane", "automobile", "bird"]
    roles = {c.name: c.role for c in data.columns}
    assert roles.pop("image") == "feature"
    assert roles.pop("worst_label") == "label"
    assert set(roles.values()) == {"ignored"}
    x = encoder_for(data).fit(data).encode(data)
    assert (tuple(x.shape), str(x.dtype)) == ((2000, 3, 32, 32), "torch.uint8")
    assert np.allclose(encoder_for(data).fit(data).mean, [0.49, 0.48, 0.44], atol=0.02)
    true = data.select_label("true_label")
    assert true.images is data.images
    assert 0.5 < (true.labels.codes == data.labels.codes).mean() < 0.7  # 40 % are wrong
    assert data.preview(5).png.startswith(b"\x89PNG")


def test_digits_in_an_archive(shared_data):
    data = read(shared_data / "mnist" / "train.npz")
    assert (data.kind, data.labels.classes) == ("image", list(range(10)))
    encoder = encoder_for(data).fit(data)
    assert encoder.input_shape == (1, 28, 28)
    assert np.allclose(encoder.mean, [0.13], atol=0.01)


@pytest.mark.parametrize(
    ("file", "label", "options", "rows", "classes"),
    [
        ("banking77/train.csv.gz", "category", {}, 10_003, 77),
        ("african/hausa_newsclass_train_clean_noisy_labels.tsv.gz", None, {}, 2_045, 5),
        ("spam/sms_train.tsv.gz", None, {}, 4_502, 2),
        ("spam/youtube_train.tsv.gz", None, {}, 1_586, 2),
        ("sst2/train.tsv.gz", "column 2", {"header": False}, 6_920, 2),
        ("ag_news/test.csv.gz", "column 1", {"header": False}, 7_600, 4),
    ],
)
def test_texts_with_labels(shared_data, file, label, options, rows, classes):
    data = read(shared_data / "text" / file, label, **options)
    assert (data.kind, len(data), len(data.labels.classes)) == ("text", rows, classes)
    assert data.labels.missing == 0
    part = data.subset(np.arange(500))
    x = encoder_for(part).fit(part).encode(part)
    assert ((x > 0).sum(1) > 0).float().mean() > 0.99


def test_every_character_of_a_real_text_is_kept(shared_data):
    file = shared_data / "text" / "spam" / "youtube_train.tsv.gz"
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        raw = [line.rstrip("\n").split("\t")[1] for line in lines][1:]
    assert read(file).texts() == raw

"""Masks of images: which regions are labelled as the wrong class, and in which images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.items import item_ledger, parts_table, pictures_of
from errata.audit.progress import Progress, Show
from errata.data.masks import Stack, digest, open_masks, open_pixel_probabilities
from errata.errors import DataError, ParameterError
from errata.scores.counts import at_least_one_correct, calibrate
from errata.scores.segmentation import ClassSums, contradicted, ordinary, own_probability, regions, softmin

if TYPE_CHECKING:
    from errata.ledger import Ledger

__all__ = ["audit"]

SMALLEST_REGION = 10
SMALLEST_SHARE = 0.001
CLASSES_FILE = "classes.txt"


def audit(
    source: Any = None,
    y: Any = None,
    *,
    label: Any = None,
    labels: Any = None,
    pred_probs: Any = None,
    classes: Sequence[Any] | None = None,
    ignore: int | Sequence[int] | None = None,
    min_region: int | None = None,
    chance: float = 0.05,
    temperature: float = 0.1,
    images: Any = None,
    progress: Show = True,
) -> Ledger:
    """Find regions of masks that are labelled as the wrong class, by confident learning over all pixels.

    Images are read one by one, twice, so that masks and probabilities may be far larger than the memory.

    Parameters
    ----------
    source, y, labels : the masks, given once: (N, H, W) whole numbers (an array, memory-mapped or not, or a ``.npy``
        file), a list of (H, W), or a folder of a ``.png`` or ``.npy`` file for each image
    label : the masks, where ``source`` is the pictures: ``errata.audit("images/", label="masks/", ...)``
    pred_probs : (N, K, H, W) out-of-sample probabilities of the classes of each pixel (or a ``.npy`` file), a list of
        (K, H, W), or a folder of ``.npy`` files named as the masks are
    classes : the K class names; also as text, "road,sky". By default those of a ``classes.txt`` beside the masks, one
        in each line, or their numbers
    ignore : the number, or numbers, of pixels that are not labelled; negative ones never are
    min_region : pixels of a region, at least; by default 10, or a thousandth of the image if that is more
    chance : in (0, 1], that an image without an error is flagged. Predictions contradict right masks too, along edges;
        only regions with more evidence than that are issues, see ``errata.scores.segmentation.ordinary``. With 1 every
        contradicted region is one
    temperature : of the trust in an image, see ``errata.scores.segmentation.softmin``
    images : the pictures themselves, for the report; anything that ``errata.read`` takes, a folder with the names of
        the masks or pictures in their order
    progress : see ``errata.audit``

    Returns
    -------
    Ledger
        A row per image, an issue where a region of it is one. Columns: ``image`` (its name), ``regions`` (how many are
        issues) and ``wrong_pixels`` (the share of its labelled pixels that lie in them). ``parts`` has a row per
        contradicted region: given and proposed class, ``trust`` (mean probability of the given class), the box
        ``x0, y0, x1, y1`` around it, ``pixels``, ``evidence`` (see ``errata.scores.segmentation.evidence``), and
        ``runs`` (see ``errata.scores.segmentation.Region``). ``meta["pixel_noise_rate"]`` is the estimated share of
        wrong pixels.

    Raises
    ------
    DataError
        where masks and probabilities don't fit each other; with the image

    Examples
    --------
    >>> masks = np.zeros((2, 8, 8), dtype=int)
    >>> masks[:, :, 4:] = 1
    >>> probs = np.where(np.stack([masks == 0, masks == 1], axis=1), 0.9, 0.1)
    >>> masks[1, :4, 4:] = 0
    >>> ledger = audit(masks, pred_probs=probs, classes=["road", "sky"], progress=False)
    >>> ledger.parts[["row", "given", "proposed", "x0", "y0", "x1", "y1", "pixels"]]
       row given proposed  x0  y0  x1  y1  pixels
    0    1  road      sky   4   0   8   4      16
    """
    if not 0 < chance <= 1:
        raise ParameterError(f"chance must be in (0, 1]; got {chance!r}.")
    if label is not None:
        source, images = None, source if images is None else images
        labels = label if labels is None else labels
    masks, probs = _open(source, y, labels, pred_probs)
    ignored = np.atleast_1d(np.asarray([] if ignore is None else ignore, dtype=np.int64))
    names = _names(_listed(classes, masks), len(probs[0]))
    judge = _Judge(masks, probs, ignored, len(names))
    with Progress(progress, "reading masks and probabilities twice", total=2 * len(masks)) as bar:
        for number in range(len(masks)):
            judge.count(number, temperature)
            bar.advance()
        for number in range(len(masks)):
            judge.find(number, min_region)
            bar.advance()
    how = {"temperature": temperature, "ignore": ignored.tolist(), "chance": chance}
    return _ledger(masks, judge, names, images, how)


def _open(source: Any, y: Any, labels: Any, pred_probs: Any) -> tuple[Stack, Stack]:
    given = [masks for masks in (source, y, labels) if masks is not None]
    if len(given) != 1 or pred_probs is None:
        raise ParameterError(
            "Give the masks once, and pred_probs= of their pixels: errata.audit(masks, pred_probs=probs, "
            "task='segmentation'). To train a network, and find wrong masks on the way: "
            "errata.train(images, label=masks, system='adele')."
        )
    masks = open_masks(given[0])
    return masks, open_pixel_probabilities(pred_probs, masks.names)


def _listed(classes: Any, masks: Stack) -> Sequence[Any] | None:
    """The class names as they were given, or as a file beside the masks tells."""
    if isinstance(classes, str):
        return [name.strip() for name in classes.split(",") if name.strip()]
    folder = Path(masks.source).expanduser()
    if classes is not None or not folder.is_dir():
        return classes
    file = next((f for f in (folder / CLASSES_FILE, folder.resolve().parent / CLASSES_FILE) if f.is_file()), None)
    if file is None:
        return None
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _names(classes: Sequence[Any] | None, k: int) -> np.ndarray:
    names = np.asarray([str(c) for c in (range(k) if classes is None else classes)], dtype=object)
    if len(names) != k:
        raise DataError(f"There are probabilities of {k} classes, and {len(names)} names for them.")
    return names


class _Judge:
    """What is found out image by image."""

    def __init__(self, masks: Stack, probs: Stack, ignored: np.ndarray, k: int) -> None:
        self.masks, self.probs, self.ignored, self.k = masks, probs, ignored, k
        self.sums = ClassSums(k)
        self.pairs = np.zeros((k, k), dtype=np.int64)
        self.trust = np.full(len(masks), np.nan)
        self.labelled = np.zeros(len(masks), dtype=np.int64)
        self.regions: list[tuple[int, Any]] = []
        self.digests = [""] * len(masks)

    def _load(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mask, probs = self.masks[number], self.probs[number]
        self.digests[number] = self.digests[number] or digest(mask)
        if len(self.ignored):
            mask = np.where(np.isin(mask, self.ignored), -1, mask)
        if len(probs) != self.k:
            raise DataError(f"Image {self.masks.names[number]} has {len(probs)} classes; the first image {self.k}.")
        try:
            return mask, probs, own_probability(mask, probs)
        except DataError as error:
            raise DataError(f"Image {self.masks.names[number]}: {error}") from error

    def count(self, number: int, temperature: float) -> None:
        """The first reading: trust, and the sums for the thresholds."""
        mask, _, own = self._load(number)
        self.sums.add(mask, own)
        self.trust[number] = softmin(own, temperature)

    def find(self, number: int, least: int | None) -> None:
        """The second reading: contradicted regions."""
        mask, probs, own = self._load(number)
        thresholds = self.sums.thresholds
        proposed = contradicted(mask, probs, thresholds)
        wrong = proposed >= 0
        self.pairs += np.bincount(mask[wrong] * self.k + proposed[wrong], minlength=self.k**2).reshape(self.k, self.k)
        right = (mask >= 0) & (own >= thresholds[np.maximum(mask, 0)]) & ~wrong
        self.pairs[np.arange(self.k), np.arange(self.k)] += np.bincount(mask[right], minlength=self.k)
        self.labelled[number] = int((mask >= 0).sum())
        smallest = max(SMALLEST_REGION, int(SMALLEST_SHARE * mask.size)) if least is None else least
        likely = np.take_along_axis(probs, np.maximum(proposed, 0)[None], axis=0)[0]
        found = regions(mask, proposed, own, least=smallest, likely=likely)
        self.regions += [(number, region) for region in found]

    @property
    def noise_rate(self) -> float:
        """The estimated share of wrong pixels, calibrated as for classes of whole items."""
        seen = np.flatnonzero(self.sums.count)
        if not len(seen):
            return 0.0
        pairs = at_least_one_correct(self.pairs[np.ix_(seen, seen)])
        joint = calibrate(pairs, self.sums.count[seen])
        return float(1 - np.trace(joint) / joint.sum())


def _notes(issue: np.ndarray, usual: float, chance: float) -> list[str]:
    left = int((~issue).sum())
    if not left:
        return []
    return [
        f"{left:,} of {len(issue):,} contradicted regions are not flagged: the probabilities disagree that far "
        f"(evidence {usual:.3g}) with masks that are right, by the lower half of the images; at most {chance:.0%} of "
        "those would be flagged."
    ]


def _ledger(masks: Stack, judge: _Judge, names: np.ndarray, images: Any, how: dict[str, Any]) -> Ledger:
    rows = np.array([number for number, _ in judge.regions], dtype=np.int64)
    found = [region for _, region in judge.regions]
    numbers: dict[str, np.ndarray] = {
        what: np.array([getattr(region, what) for region in found], dtype=np.int64)
        for what in ("given", "proposed", "x0", "y0", "x1", "y1", "pixels")
    }
    evidence = np.array([region.evidence for region in found], dtype=np.float64)
    greatest = np.zeros(len(masks))
    np.maximum.at(greatest, rows, evidence)
    usual = ordinary(greatest, how["chance"])
    issue = evidence > usual if usual > 0 else np.ones(len(found), dtype=bool)
    pixels = np.bincount(rows[issue], weights=numbers["pixels"][issue], minlength=len(masks))
    numbers["evidence"] = evidence.round(3)
    numbers["runs"] = np.array([region.runs for region in found], dtype=object)
    parts = parts_table(
        rows,
        names[numbers.pop("given")],
        names[numbers.pop("proposed")],
        np.clip([region.trust for region in found], 0.0, 1.0),
        issue,
        numbers,
    )
    counts = np.bincount(rows[issue], minlength=len(masks))
    meta: dict[str, Any] = {
        "method": "confident",
        "task": "segmentation",
        "source": masks.source,
        "label_names": names.tolist(),
        "pixel_noise_rate": round(judge.noise_rate, 6),
        "usual_evidence": round(usual, 3),
        "notes": _notes(issue, usual, how["chance"]),
        **how,
    }
    if os.path.exists(os.path.expanduser(masks.source)):
        meta["source_path"] = os.path.abspath(os.path.expanduser(masks.source))
    columns = {
        "image": np.asarray(masks.names, dtype=object),
        "regions": counts,
        "wrong_pixels": pixels / np.maximum(1, judge.labelled),
        "digest": np.asarray(judge.digests, dtype=object),
    }
    if isinstance(images, (str, os.PathLike)):
        meta["images_path"] = os.path.abspath(os.path.expanduser(images))
    ledger = item_ledger(np.clip(judge.trust, 0.0, 1.0), counts > 0, columns=columns, meta=meta, parts=parts)
    if images is not None:
        ledger.data = pictures_of(images, masks.names, "masks")
    return ledger

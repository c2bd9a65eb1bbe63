"""Masks of images: which regions are labelled as the wrong class, and in which images."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.items import item_ledger, labels_and_pictures, parts_table, pictures_of, refuse_training
from errata.audit.progress import Progress, Show
from errata.data.masks import Stack, digest, open_masks, open_pixel_probabilities
from errata.data.segmentation import IGNORE
from errata.errors import DataError, ParameterError
from errata.scores.counts import at_least_one_correct, calibrate
from errata.scores.segmentation import ClassSums, contradicted, ordinary, own_probability, regions, softmin

if TYPE_CHECKING:
    from errata.audit.pixels import OutOfFold
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
    model: Any = "auto",
    folds: int = 5,
    groups: Any = None,
    contiguous: bool = True,
    seed: int = 0,
    device: str = "auto",
    precision: str | int | None = None,
    image_size: Any = None,
    unreadable: str = "error",
    out: Any = None,
    progress: Show = True,
    **training: Any,
) -> Ledger:
    """Find regions of masks that are labelled as the wrong class, by confident learning over all pixels.

    The probabilities are given, or a small network for each fold of the images is trained for you: then every image is
    judged by a network that has not seen it. Masks and probabilities are read one by one, twice, so that they may be
    far larger than the memory.

    Parameters
    ----------
    source, y, labels : the masks, given once: (N, H, W) whole numbers (an array, memory-mapped or not, or a ``.npy``
        file), a list of (H, W), or a folder of a ``.png`` or ``.npy`` file for each image. Or the pictures as
        ``source``, and the masks as ``y``, ``labels`` or ``label``: ``errata.audit("images/", label="masks/", ...)``.
        Or a folder that holds both, in folders named ``images`` and ``masks`` (or alike).
    label : the masks, where ``source`` is the pictures
    pred_probs : (N, K, H, W) out-of-sample probabilities of the classes of each pixel (or a ``.npy`` file), a list of
        (K, H, W), or a folder of ``.npy`` files named as the masks are; by default they are cross-validated
    classes : the K class names; also as text, "road,sky". By default those of a ``classes.txt`` beside the masks, one
        in each line, or their numbers
    ignore : the number, or numbers, of pixels that are not labelled; negative ones never are, and nor are those of 255
        where a network is trained
    min_region : pixels of a region, at least; by default 10, or a thousandth of the image if that is more
    chance : in (0, 1], that an image without an error is flagged. Predictions contradict right masks too, along edges;
        only regions with more evidence than that are issues, see ``errata.scores.segmentation.ordinary``. With 1 every
        contradicted region is one
    temperature : of the trust in an image, see ``errata.scores.segmentation.softmin``
    images : the pictures themselves, to learn from and for the report; anything that ``errata.read`` takes, a folder
        with the names of the masks or pictures in their order. They may differ in size: the network sees them at one.
    model : what is cross-validated: "auto" (a small U-Net), or a network of your own (images (B, C, H, W) to logits
        (B, K, H, W)) that has not seen these masks
    folds, groups, contiguous : stretches of consecutive images, by default; with ``contiguous=False`` drawn at random;
        by ``groups``, see ``errata.audit.folds.frame_folds``
    seed, device, precision : of the training, see ``errata.train``
    image_size : pixels of the longer side for the network, or (height, width); by default 128 at most
    unreadable : "error", or "skip" pictures that can't be decoded
    out : a folder in which finished folds are kept, so that a stopped audit goes on there
    progress : see ``errata.audit``
    **training : ``epochs``, ``batch_size``, and hyper-parameters of plain training (``lr`` ...)

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
        where masks and pictures, or masks and probabilities, don't fit each other; with the image

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
    given, images = labels_and_pictures(source, [y, labels, label], images, "masks")
    masks = open_masks(given)
    ignored = np.atleast_1d(np.asarray([] if ignore is None else ignore, dtype=np.int64))
    how: dict[str, Any] = {"temperature": temperature, "ignore": ignored.tolist(), "chance": chance}
    listed = _listed(classes, masks)
    if pred_probs is not None:
        own = {"model": model if model != "auto" else None, "groups": groups, "precision": precision, "out": out}
        refuse_training({**own, "contiguous": None if contiguous else False, "image_size": image_size, **training})
        probs = open_pixel_probabilities(pred_probs, masks.names)
        return _judged(masks, probs, _names(listed, len(probs[0])), how, min_region, images, progress)
    if images is None:
        raise ParameterError(
            "To judge masks, a network is trained on the pictures: give them, as in errata.audit('images/', "
            "label='masks/', task='segmentation'), or else the probabilities of the pixels (pred_probs=)."
        )
    from errata.audit.pixels import cross_validated

    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory()) if out is None else out
        found = cross_validated(
            images,
            masks,
            out=place,
            classes=listed,
            ignored=ignored.tolist(),
            model=model,
            folds=folds,
            groups=groups,
            contiguous=contiguous,
            seed=seed,
            device=device,
            precision=precision,
            training=training,
            reading={"image_size": image_size, "unreadable": unreadable},
            progress=progress,
        )
        how |= {"ignore": [*(n for n in how["ignore"] if n != IGNORE), IGNORE], **found.about}
        names = _names(found.classes, len(found.classes))
        return _judged(found.masks, found.probs, names, how, min_region, images, progress, found)


def _judged(
    masks: Stack,
    probs: Stack,
    names: np.ndarray,
    how: dict[str, Any],
    min_region: int | None,
    images: Any,
    progress: Show,
    found: OutOfFold | None = None,
) -> Ledger:
    """Read masks and probabilities twice, and write down what is contradicted."""
    judge = _Judge(masks, probs, np.asarray(how["ignore"], dtype=np.int64), len(names))
    if found is not None:
        judge.unknown = found.unknown
    with Progress(progress, "reading masks and probabilities twice", total=2 * len(masks)) as bar:
        for number in range(len(masks)):
            judge.count(number, how["temperature"])
            bar.advance()
        for number in range(len(masks)):
            judge.find(number, min_region)
            bar.advance()
    return _ledger(masks, judge, names, images, how, None if found is None else found.places)


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
        self.unknown: np.ndarray | None = None  # (N, K) classes whose pixels can't be judged

    def _load(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mask, probs = self.masks[number], self.probs[number]
        self.digests[number] = self.digests[number] or digest(mask)
        if len(self.ignored):
            mask = np.where(np.isin(mask, self.ignored), -1, mask)
        if self.unknown is not None and self.unknown[number].any():
            mask = np.where((mask >= 0) & np.isin(mask, np.flatnonzero(self.unknown[number])), -1, mask)
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


def _ledger(
    masks: Stack,
    judge: _Judge,
    names: np.ndarray,
    images: Any,
    how: dict[str, Any],
    places: np.ndarray | None = None,
) -> Ledger:
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
    index = np.arange(len(masks)) if places is None else places
    parts = parts_table(
        index[rows],
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
        **how,
        "notes": [*how.get("notes", []), *_notes(issue, usual, how["chance"])],
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
    ledger = item_ledger(
        np.clip(judge.trust, 0.0, 1.0), counts > 0, columns=columns, index=index, meta=meta, parts=parts
    )
    if images is not None:
        ledger.data = pictures_of(images, masks.names, "masks")
    return ledger

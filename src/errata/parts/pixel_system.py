"""The base of systems that learn a class for every pixel: evidence per pixel, and a ledger of images and regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from errata.errors import DataError, LedgerError
from errata.items import item_ledger, parts_table
from errata.ledger import Ledger
from errata.parts.batch import Batch
from errata.parts.distributed import all_reduce_sum
from errata.parts.pixel_evidence import PixelEvidence
from errata.parts.precision import in_float32
from errata.parts.system import System
from errata.scores.pixels import confusion, iou_of
from errata.scores.segmentation import Region, regions, softmin

__all__ = ["SMALLEST_REGION", "SMALLEST_SHARE", "PixelSystem", "as_pixel_batch"]

SMALLEST_REGION, SMALLEST_SHARE = 10, 0.001  # of an image's pixels; the larger of the two
BELIEVED = 0.5  # a region whose given class is believed less than this is an issue


class PixelSystem(System):
    """A training system for masks: batches are ``Batch(index, x, y)`` with images (B, C, H, W) and masks (B, H, W).

    Parameters
    ----------
    model : maps images (B, C, H, W), of any size, to logits (B, K, H, W)
    num_classes : K, 2 or more
    num_samples : N, the images of the training set
    ignore_index : the class of pixels that aren't labelled
    training : optimiser, schedule, views; see ``System``. Views may change colours as they like; where they have
        ``mirrored(batch_size, device)``, it draws which images are mirrored, together with their masks.

    Notes
    -----
    A subclass calls ``observe_pixels`` with the predictions of its training pass. Five bytes are kept per pixel:
    ``PixelEvidence``. ``keep_in(folder, size)`` puts them into files instead of the checkpoint.
    """

    settled: ClassVar[tuple[str, ...]] = ("belief_decay", "belief_topk")

    def __init__(
        self, model: nn.Module, num_classes: int, num_samples: int, *, ignore_index: int = 255, **training: Any
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        self.ignore_index = ignore_index

    def make_memories(self) -> None:
        self.evidence = PixelEvidence(self.num_samples)

    def keep_in(self, folder: str | Path, size: tuple[int, int]) -> None:
        """Keep what is known of every pixel in memory-mapped files of ``folder``; before the training."""
        self.evidence = PixelEvidence(self.num_samples, Path(folder) / "evidence", size)

    def settle(self, batches: Any = None) -> None:
        """Finish what the last epoch left to be done; nothing here."""

    # -- what a subclass uses -----------------------------------------------------------------------------------------

    def mirror(self, batch: Batch) -> Tensor | None:
        """(B,) bool, which images of a batch are seen mirrored in this step; None where the views never do that."""
        drawn = getattr(self.views, "mirrored", None)
        return None if drawn is None else drawn(len(batch.index), batch.x.device)

    def seen(self, batch: Batch, mirrored: Tensor | None) -> Tensor:
        """The batch's images as the network sees them."""
        return mirror_some(self.views.weak(batch.x), mirrored)

    def observe_pixels(self, index: Tensor, logits: Tensor, given: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Take in the prediction of a training pass, on all ranks; returns the probabilities (B, K, H, W).

        Parameters
        ----------
        index : (B,) rows
        logits : (B, K, H, W), in any precision, of the images as they were seen
        given : (B, H, W) the given masks, never mirrored
        """
        probabilities = mirror_some(in_float32(logits.detach()), mirrored).softmax(1)
        self.evidence.observe(index, probabilities, given, self.current_epoch)
        return probabilities

    # -- batches, validation ------------------------------------------------------------------------------------------

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        state = self._trainer.state.stage if self._trainer is not None else None
        return batch if state == "predict" else as_pixel_batch(batch, indexed=state == "train")

    def on_validation_epoch_start(self) -> None:
        self._table = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)

    def validation_step(self, batch: Batch) -> None:
        """Counts pixels; ``on_validation_epoch_end`` logs ``val_loss``, ``val_accuracy`` (pixels) and ``val_miou``."""
        logits = in_float32(self(batch.x))
        loss = nn.functional.cross_entropy(logits, batch.y, ignore_index=self.ignore_index, reduction="sum")
        labelled = (batch.y != self.ignore_index).sum()
        loss, labelled = all_reduce_sum(torch.stack([loss, labelled.to(loss)]))
        self.log("val_loss", loss / labelled.clamp(min=1), batch_size=max(1, int(labelled)), prog_bar=True)
        counts = confusion(logits.argmax(1), batch.y, self.num_classes, self.ignore_index)
        self._table += all_reduce_sum(counts).cpu()

    def on_validation_epoch_end(self) -> None:
        right, labelled = int(self._table.diagonal().sum()), max(1, int(self._table.sum()))
        iou = iou_of(self._table)
        mean = float(np.nanmean(iou)) if np.isfinite(iou).any() else 0.0
        self.log_dict({"val_accuracy": right / labelled, "val_miou": mean}, prog_bar=True)

    # -- the ledger ---------------------------------------------------------------------------------------------------

    def proposed_masks(self, rows: Any, given: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The masks (B, H, W) that the system would give to some images; here the last prediction."""
        return self.evidence.read(rows)["best"].numpy()

    def trust(self, given: Any) -> Tensor:
        """(N,) how far each given mask is believed, in [0, 1]: a mean over its pixels that the least believed rule."""
        found = torch.full((self.num_samples,), torch.nan)
        for row, mask in enumerate(self._masks(given)):
            if bool(self.evidence.seen[row]):
                found[row] = softmin(self._own(row, mask))
        return found

    def proposals(self) -> Tensor:
        """(N, H, W) uint8, the last prediction of each image."""
        return self.evidence.read(torch.arange(self.num_samples))["best"]

    def ledger(self, given: Any, classes: Sequence[Any] | None = None, *, least: int | None = None, **more: Any) -> Any:
        """The ledger over the images trained on, with a row per region in ``parts``.

        Parameters
        ----------
        given : (N, H, W) the given masks, or as many (H, W)
        classes : the names of the K classes
        least : pixels of a region; by default 10, or a thousandth of the image if that is more

        Raises
        ------
        LedgerError
            where there is another number of masks than images
        """
        names = [str(c) for c in (range(self.num_classes) if classes is None else classes)]
        trust = np.full(self.num_samples, np.nan, dtype=np.float32)
        wrong, pixels = np.zeros(self.num_samples), np.zeros(self.num_samples)
        found: list[tuple[int, Region]] = []
        for row, mask in enumerate(self._masks(given)):
            pixels[row] = int((mask >= 0).sum())
            if not bool(self.evidence.seen[row]) or pixels[row] == 0:
                continue
            own = self._own(row, mask)
            trust[row] = np.clip(softmin(own), 0, 1)
            proposed = self.proposed_masks([row], mask[None])[0].astype(np.int64)
            other = np.where((proposed != mask) & (mask >= 0) & (proposed < self.num_classes), proposed, -1)
            smallest = max(SMALLEST_REGION, int(SMALLEST_SHARE * mask.size)) if least is None else least
            own_regions = regions(mask, other, own, least=smallest)
            wrong[row] = sum(r.pixels for r in own_regions if r.trust < BELIEVED)
            found += [(row, region) for region in own_regions]
        return self._ledger(
            trust, found, wrong / np.maximum(pixels, 1), wrong.sum() / max(1, pixels.sum()), names, more
        )

    def _ledger(
        self,
        trust: NDArray[np.float32],
        found: list[tuple[int, Region]],
        wrong: NDArray[np.float64],
        rate: float,
        names: list[str],
        more: dict[str, Any],
    ) -> Ledger:
        rows = np.array([row for row, _ in found], dtype=np.int64)
        numbers = {
            what: np.array([getattr(region, what) for _, region in found], dtype=np.int64)
            for what in ("given", "proposed", "x0", "y0", "x1", "y1", "pixels")
        }
        belief = np.clip(np.array([region.trust for _, region in found], dtype=np.float64), 0, 1)
        issue = belief < BELIEVED
        words = np.array([*names, ""], dtype=object)
        parts = parts_table(rows, words[numbers.pop("given")], words[numbers.pop("proposed")], belief, issue, numbers)
        counts = np.bincount(rows[issue], minlength=self.num_samples)
        columns = {"regions": counts, "wrong_pixels": wrong, **dict(more.pop("columns", {}) or {})}
        meta = {
            "method": self.card.slug,
            "task": self.card.task,
            "label_names": names,
            "pixel_noise_rate": round(float(rate), 6),
            **dict(more.pop("meta", {}) or {}),
        }
        return item_ledger(trust, counts > 0, columns=columns, meta=meta, parts=parts, **more)

    def _masks(self, given: Any) -> Iterator[NDArray[np.int64]]:
        """The given masks one by one, -1 where a pixel has no class."""
        if len(given) != self.num_samples:
            raise LedgerError(f"Expected a mask for each of the {self.num_samples} images; got {len(given)} masks.")
        for mask in given:
            array = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask).astype(np.int64)
            yield np.where((array == self.ignore_index) | (array < 0) | (array >= self.num_classes), -1, array)

    def _own(self, row: int, mask: NDArray[np.int64]) -> NDArray[np.float32]:
        own = self.evidence.read([row])["own"][0].numpy()
        if own.shape != mask.shape:
            raise LedgerError(f"The mask of image {row} has {mask.shape} pixels; it was trained on with {own.shape}.")
        return np.where(mask >= 0, own, np.float32(np.nan))


def mirror_some(x: Tensor, mirrored: Tensor | None) -> Tensor:
    """Mirror those (..., W) entries of a batch left to right that (B,) ``mirrored`` names.

    Examples
    --------
    >>> mirror_some(torch.tensor([[0, 1], [2, 3]]), torch.tensor([True, False])).tolist()
    [[1, 0], [2, 3]]
    """
    if mirrored is None:
        return x
    return torch.where(mirrored.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)


def as_pixel_batch(batch: Any, *, indexed: bool = True) -> Batch:
    """What a DataLoader gave, as a ``Batch`` whose ``y`` are masks (B, H, W), int64.

    Raises
    ------
    DataError
        where it is anything else

    Examples
    --------
    >>> as_pixel_batch([torch.tensor([3]), torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4)]).y.dtype
    torch.int64
    """
    if not isinstance(batch, Batch):
        if not isinstance(batch, (list, tuple)) or len(batch) not in ((3,) if indexed else (2, 3)):
            raise DataError(
                "Expected batches of (index, images, masks), index being each image's row number; got a "
                f"{type(batch).__name__}. errata.data.IndexedDataset(dataset) adds the row numbers."
            )
        batch = Batch(*batch) if len(batch) == 3 else Batch(torch.full((len(batch[1]),), -1), *batch)
    masks, index = torch.as_tensor(batch.y), torch.as_tensor(batch.index)
    if masks.ndim != 3 or tuple(masks.shape[-2:]) != tuple(batch.x.shape[-2:]):
        raise DataError(
            f"Expected masks (B, H, W) of the images' size {tuple(batch.x.shape[-2:])}; got {tuple(masks.shape)}."
        )
    return batch._replace(index=index.long(), y=masks.long())

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
from errata.parts.batch import Batch
from errata.parts.distributed import all_reduce_sum
from errata.parts.kept import Kept
from errata.parts.pixel_evidence import PixelEvidence
from errata.parts.pixel_ledger import Piece, ledger_of_pixels
from errata.parts.precision import in_float32
from errata.parts.system import System
from errata.parts.training_curve import CurveMonitor
from errata.scores.pixels import class_iou, confusion, iou_of

__all__ = ["PixelSystem", "as_pixel_batch", "mirror_some"]

IGNORED = 255  # by ``class_iou``


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
    ``PixelEvidence``; ``keep_in(folder, size)`` puts them into files instead of the checkpoint. Per class there is the
    curve of the training IoU, ``monitor``.
    """

    settled: ClassVar[tuple[str, ...]] = ("belief_decay", "belief_topk")

    def __init__(
        self, model: nn.Module, num_classes: int, num_samples: int, *, ignore_index: int = 255, **training: Any
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        self.ignore_index = ignore_index

    def make_memories(self) -> None:
        self.evidence = PixelEvidence(self.num_samples)
        self.monitor = CurveMonitor(self.num_classes)
        # the last epoch that was settled; steps of all epochs, of the current one, and of the last whole one
        self.clock = Kept(settled=torch.full((), -1, dtype=torch.int64), steps=torch.zeros(3, dtype=torch.int64))

    def keep_in(self, folder: str | Path, size: tuple[int, int]) -> None:
        """Keep what is known of every pixel in memory-mapped files of ``folder``; before the training."""
        self.evidence = PixelEvidence(self.num_samples, Path(folder) / "evidence", size)

    # -- between epochs -----------------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        self.settle()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        if self.evidence.epoch != self.current_epoch:
            self.settle()  # a run resumed from within its last hooks comes here without a new epoch's start

    def on_train_end(self) -> None:
        self.settle()

    def settle(self, batches: Any = None) -> None:
        """Do what is to be done after the last epoch, if that was not done yet.

        It is done when the next epoch begins (or the training ends), so that a checkpoint of the epoch holds all that
        it follows from, and a resumed run repeats it.

        Parameters
        ----------
        batches : the training batches, where there is no Trainer to ask for them
        """
        epoch = self.evidence.epoch
        if epoch <= int(self.clock["settled"]):
            return
        total, current, _ = self.clock["steps"].tolist()
        self.clock["steps"] = torch.tensor([total, 0, current])
        self.after_epoch(epoch, batches)
        self.clock["settled"] = torch.tensor(epoch)

    def after_epoch(self, epoch: int, batches: Any) -> None:
        """What a system does after an epoch (from 0); here one value of the training curves is counted."""
        self.monitor.close_window()

    def curve_times(self) -> NDArray[np.float64]:
        """(T,) when the values of ``monitor.curves`` were counted, in epochs; here the end of each epoch."""
        return np.arange(1, len(self.monitor.curves) + 1, dtype=np.float64)

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

    def watch(self, predicted: Tensor, labels: Tensor) -> None:
        """Count the agreement of a training pass with labels, (B, H, W) each, on all ranks."""
        counts = class_iou(predicted, torch.where(labels == self.ignore_index, IGNORED, labels), self.num_classes)
        self.monitor.count(*all_reduce_sum(torch.stack([counts["TP"], counts["P"], counts["T"]])).cpu())
        self.clock["steps"] = self.clock["steps"] + torch.tensor([1, 1, 0])

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
        """(N,) how far each given mask is believed, in [0, 1]; NaN where nothing is known."""
        return torch.from_numpy(self.ledger(given).trust)

    def proposals(self) -> Tensor:
        """(N, H, W) uint8, the last prediction of each image."""
        return self.evidence.read(torch.arange(self.num_samples))["best"]

    def ledger(self, given: Any, classes: Sequence[Any] | None = None, *, least: int | None = None, **more: Any) -> Any:
        """The ledger over the images trained on, with a row per region in ``parts``; see ``ledger_of_pixels``.

        Parameters
        ----------
        given : (N, H, W) the given masks, or as many (H, W)
        classes : the names of the K classes

        Raises
        ------
        LedgerError
            where there is another number of masks than images, or they have another size
        """
        names = list(range(self.num_classes)) if classes is None else list(classes)
        meta = {"method": self.card.slug, **dict(more.pop("meta", {}) or {})}
        return ledger_of_pixels(self.pieces(given), names, least=least, meta=meta, **more)

    def pieces(self, given: Any) -> Iterator[Piece]:
        """What is known of each image, for its ledger; ``given`` as in ``ledger``."""
        if len(given) != self.num_samples:
            raise LedgerError(f"Expected a mask for each of the {self.num_samples} images; got {len(given)} masks.")
        for row, mask in enumerate(given):
            array = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask).astype(np.int64)
            odd = (array == self.ignore_index) | (array < 0) | (array >= self.num_classes)
            array = np.where(odd, -1, array)
            if not bool(self.evidence.seen[row]):
                yield Piece(array, None, None)
                continue
            own = self.evidence.read([row])["own"][0].numpy()
            if own.shape != array.shape:
                raise LedgerError(f"The mask of image {row} has {array.shape} pixels, and {own.shape} in training.")
            yield Piece(array, own, self.proposed_masks([row], array[None])[0].astype(np.int64))


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

"""ADELE: correct the masks of a class from the moment at which the network would begin to memorise their errors.

People and weak labellers draw objects too small or too large. A segmentation network first learns what such masks have
in common, which is right, and later their errors; when, differs from class to class. ADELE watches the training IoU of
every class (``parts.CurveMonitor``), switches a class on when its curve has bent, and from then on replaces confident
pixels of the masks by the network's prediction. Predictions at three scales are held together by a consistency term,
which makes them better to correct with.
Two variants, as published: "medical" (SegTHOR) corrects with what was predicted while training, each class once and
then every tenth epoch; "voc" (PASCAL) predicts the training images again at several scales after every epoch.
Kept per pixel: the given and the current class, the last prediction and its probability; per class: the curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from errata import systems
from errata.errors import ParameterError, UnknownNameError
from errata.parts import (
    Batch,
    CurveMonitor,
    Kept,
    MaskStore,
    PixelSystem,
    gather_rows,
    in_float32,
)
from errata.parts.batches_again import again
from errata.parts.dense_crf import dense_crf, needed
from errata.parts.mask_rules import IGNORED, merge_labels, update_labels_voc
from errata.parts.pixel_system import mirror_some
from errata.parts.views_of_pixels import at_scale, multi_view_logits

__all__ = [
    "AdaptiveEarlyLearningCorrection",
    "MultiScaleLoss",
    "multiscale_consistency",
]

VARIANTS = ("medical", "voc")
CHUNK = 64  # images that are corrected at a time


class MultiScaleLoss(NamedTuple):
    """``ce`` and ``consistency`` (unweighted), scalars; ``image_gate`` (B,) bool; ``mixture`` q (B, C, H, W)."""

    ce: Tensor
    consistency: Tensor
    image_gate: Tensor
    mixture: Tensor


def multiscale_consistency(
    logits: Sequence[Tensor],
    label: Tensor,
    scale_params: Tensor,
    rho: float = 0.8,
    q_clamp: tuple[float, float] = (1e-3, 1 - 1e-3),
    ignore_index: int = IGNORED,
) -> MultiScaleLoss:
    """Cross-entropy at every scale, and how far the predictions are from their common mixture q.

    Parameters
    ----------
    logits : z_k, K of (B, C, H, W), one for each scale, of one size
    label : (B, H, W) int; ignored pixels count as 0 in the mean of the cross-entropy
    scale_params : theta (K,); w = softmax(theta). With equal weights the cross-entropy is taken of z_k / K.
    rho : an image counts for the consistency where q reaches this at some labelled pixel
    q_clamp : q is held inside of this

    Returns
    -------
    MultiScaleLoss
        ``ce``: sum over k of the mean over pixels of CE(w_k z_k, y); ``consistency``: mean over all pixels of
        ``sum_k KL(softmax(z_k) || q)``, where the image's gate is open. The gradient flows through q too.

    Examples
    --------
    >>> z = torch.tensor([[[[6.0]], [[0.0]]]])
    >>> found = multiscale_consistency([z, z, z], torch.zeros(1, 1, 1, dtype=torch.int64), torch.ones(3))
    >>> round(float(found.ce), 3), abs(float(found.consistency)) < 1e-6, found.image_gate.tolist()
    (0.381, True, [True])
    """
    weights = scale_params.softmax(0)
    scaled = [in_float32(z) for z in logits]
    ce = torch.stack(
        [
            F.cross_entropy(w * z, label, ignore_index=ignore_index, reduction="none").mean()
            for w, z in zip(weights, scaled)
        ]
    ).sum()
    log_p = [z.log_softmax(1) for z in scaled]
    q = torch.stack([w * one.exp() for w, one in zip(weights, log_p)]).sum(0).clamp(*q_clamp)
    labelled = (label != ignore_index)[:, None]
    gate = q.detach().masked_fill(~labelled, 0.0).flatten(1).amax(1) >= rho
    divergence = torch.stack([(one.exp() * (one - q.log())).sum(1) for one in log_p]).sum(0)
    consistency = (divergence * gate[:, None, None].to(divergence)).mean()
    return MultiScaleLoss(ce, consistency, gate, q)


class AdaptiveEarlyLearningCorrection(PixelSystem):
    """Adaptive Early-Learning Correction (ADELE).

    Parameters
    ----------
    model, num_classes, num_samples, ignore_index : see ``PixelSystem``
    variant : "medical" or "voc", see the module; the parameters of the other one are not looked at
    r : a class is switched on when its curve has lost this share of the slope of the first epoch, in [0, 1]
    rho : an image counts for the consistency where some pixel is predicted with this probability
    lambda_ : weight of the consistency, 0 or more
    scales : of the images in training; (1.0,) trains by plain cross-entropy without consistency
    temperature : what logits are divided by before a probability is compared with a threshold; None for the number of
        scales, for the cross-entropy is taken of z / 3. (The authors do so for VOC, but not for SegTHOR, where raw
        probabilities are over-confident.)
    tau_fg, tau_bg : medical: a pixel changes where the prediction is surer than this, in [0.5, 1]
    correct_freq : medical: a class is corrected when it is switched on, and after each so many epochs
    logic_255 : medical: pixels that are predicted background, but aren't in the mask, are ignored from then on
    min_increment : medical: a curve is read from its first rise of so much within an epoch; the first epoch's is from 0
    tau : VOC: a pixel changes where the prediction is surer than this, in [0, 1]
    eval_interval : VOC: steps over which one value of the curves is counted
    views_scales : VOC: scales at which the training images are predicted to correct them
    flip_from : VOC: from this epoch on, counted from 0, they are predicted mirrored, too
    crf : VOC: draw these predictions to the edges of the images by a dense CRF (``parts.dense_crf``; the extra "crf")
    reinit : VOC: corrections begin anew from the given masks each time; else they add up
    learn_scales : learn the weights of the scales; None for the variant's own: VOC does, medical doesn't
    curve_epochs : epochs that are looked at for a class's time to be switched on; None for the variant's own: 16 for
        VOC, the length of the training for medical
    background : the class that objects stand on; always switched on, but corrected only along with others
    training : optimiser, schedule, views; see ``System``

    Notes
    -----
    The authors use SGD, lr 0.01 and momentum 0.99 for SegTHOR; lr 0.001, momentum 0.9 and weight decay 5e-4 for VOC.
    ``masks`` holds the given and the current masks, with the history of all corrections. One rule is not the authors':
    a class that the network knows after its first epoch is watched from there; by their code it is never corrected
    (``parts.training_curve.flat_start``).

    Examples
    --------
    >>> system = AdaptiveEarlyLearningCorrection(torch.nn.Conv2d(3, 4, 1), num_classes=4, num_samples=2)
    >>> images, masks = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    >>> loss = system.training_step(Batch(torch.tensor([0, 1]), images, masks))
    >>> system.masks.current([1]).shape
    torch.Size([1, 8, 8])

    References
    ----------
    Liu, Liu, Zhu, Shen, Fernandez-Granda: Adaptive Early-Learning Correction for Segmentation from Noisy Annotations,
    CVPR 2022, arXiv 2110.03740.
    """

    card = systems.card("adele")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        variant: str = "medical",
        r: float = 0.9,
        rho: float = 0.8,
        lambda_: float = 1.0,
        scales: Sequence[float] = (1.0, 0.7, 1.5),
        temperature: float | None = None,
        tau_fg: float = 0.7,
        tau_bg: float = 0.7,
        correct_freq: int = 10,
        logic_255: bool = False,
        min_increment: float = 0.1,
        tau: float = 0.8,
        eval_interval: int = 100,
        views_scales: Sequence[float] = (0.75, 1.0, 1.5),
        flip_from: int = 9,
        crf: bool = False,
        reinit: bool = True,
        learn_scales: bool | None = None,
        curve_epochs: int | None = None,
        background: int = 0,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        _check(variant, scales, views_scales, {"r": r, "rho": rho, "tau": tau}, {"tau_fg": tau_fg, "tau_bg": tau_bg})
        for name, least, value in (("correct_freq", 1, correct_freq), ("eval_interval", 1, eval_interval)):
            if int(value) != value or value < least:
                raise ParameterError(f"{name} must be a whole number, {least} or more; got {value!r}.")
        if lambda_ < 0 or (temperature is not None and temperature <= 0):
            raise ParameterError(f"lambda_ must be 0 or more, temperature above 0; got {lambda_!r}, {temperature!r}.")
        if not 0 <= background < num_classes:
            raise ParameterError(f"background must be one of the classes 0 to {num_classes - 1}; got {background!r}.")
        self.variant = variant
        self.r = r
        self.rho = rho
        self.lambda_ = lambda_
        self.scales = scales
        self.temperature = temperature
        self.tau_fg = tau_fg
        self.tau_bg = tau_bg
        self.correct_freq = correct_freq
        self.logic_255 = logic_255
        self.min_increment = min_increment
        self.tau = tau
        self.eval_interval = eval_interval
        self.views_scales = views_scales
        self.flip_from = flip_from
        self.crf = crf
        self.reinit = reinit
        self.learn_scales = learn_scales
        self.curve_epochs = curve_epochs
        self.background = background
        learned = variant == "voc" if learn_scales is None else learn_scales
        self.scale_params = nn.Parameter(torch.ones(len(scales)), requires_grad=learned and len(scales) > 1)
        self.monitor = CurveMonitor(num_classes, r, min_increment if variant == "medical" else None)
        self.corrected = Kept(ever=torch.zeros(num_classes, dtype=torch.bool))

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.crf:
            needed()  # told now, not at the first correction

    def make_memories(self) -> None:
        super().make_memories()
        self.masks = MaskStore(self.num_samples)

    def keep_in(self, folder: Any, size: tuple[int, int]) -> None:
        super().keep_in(folder, size)
        self.masks = MaskStore(self.num_samples, f"{folder}/masks", size)

    def trained_parameters(self) -> list[Any]:
        if not self.scale_params.requires_grad:
            return super().trained_parameters()
        others = [p for p in super().trained_parameters() if p is not self.scale_params]
        return [{"params": others}, {"params": [self.scale_params], "weight_decay": 0.0}]

    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        scheduler = made["lr_scheduler"]["scheduler"] if isinstance(made, dict) else None
        if self.scale_params.requires_grad and isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR):
            scheduler.lr_lambdas[1] = lambda step: 1.0  # the weights of the scales keep the first learning rate
        return made

    # -- training -----------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch) -> Tensor:
        mirrored = self.mirror(batch)
        images = self.seen(batch, mirrored)
        current = self.masks.remember(batch.index, batch.y).to(batch.y)
        logits = [at_scale(self.model, images, scale) for scale in self.scales]
        probabilities = self.observe_pixels(batch.index, logits[0] / self._temperature, batch.y, mirrored)
        self.watch(probabilities.argmax(1), batch.y if self.variant == "voc" else current)
        found = multiscale_consistency(
            logits, mirror_some(current, mirrored), self.scale_params, self.rho, ignore_index=self.ignore_index
        )
        loss = found.ce + self.lambda_ * found.consistency
        return loss / len(self.scales) if self.variant == "medical" else loss

    @property
    def _temperature(self) -> float:
        return float(len(self.scales)) if self.temperature is None else self.temperature

    def watch(self, predicted: Tensor, labels: Tensor) -> None:
        super().watch(predicted, labels)
        if self.variant == "voc" and int(self.clock["steps"][0]) % self.eval_interval == 0:
            self.monitor.close_window()

    # -- correction ---------------------------------------------------------------------------------------------------

    def after_epoch(self, epoch: int, batches: Any) -> None:
        """Switch classes on that are due, and correct the masks."""
        if self.variant == "medical":
            self.monitor.close_window()
        due = self._due(epoch)
        if due and self.variant == "medical":
            self._correct_from_memory(due)
        elif due:
            self._correct_by_predicting(due, epoch, batches)

    def curve_times(self) -> NDArray[np.float64]:
        values = len(self.monitor.curves)
        if self.variant == "medical":
            return np.linspace(0, values, values)
        return np.linspace(0, values * self.eval_interval / max(1, int(self.clock["steps"][2])), values)

    def _due(self, epoch: int) -> list[int]:
        """The foreground classes to correct after an epoch (from 0); newly switched on, or on already."""
        foreground = [c for c in range(self.num_classes) if c != self.background]
        if self.variant == "voc":
            self.monitor.switch_on(foreground, epoch, self.curve_times(), self.curve_epochs or 16)
            return [c for c in foreground if self.monitor.on[c]]
        last = self.curve_epochs or (self._trainer.max_epochs if self._trainer is not None else None) or 100
        self.monitor.switch_on(foreground, epoch, self.curve_times(), last)
        again = (epoch + 1) % self.correct_freq == 0
        due = [c for c in foreground if self.monitor.on[c] and (again or not self.corrected["ever"][c])]
        ever = self.corrected["ever"].clone()
        ever[due] = True
        self.corrected["ever"] = ever
        return due

    def _correct_from_memory(self, due: list[int]) -> None:
        with self.masks.revision() as revision:
            for rows in self._rows():
                seen = self.evidence.read(rows)
                best, top = seen["best"].numpy(), seen["top"].numpy()
                # of thresholds of a half at least, only the most probable class can reach its own
                sure = top > np.where(best == self.background, self.tau_bg, self.tau_fg)
                label = self.masks.current(rows).numpy()
                rules: dict[str, Any] = {"logic_255": self.logic_255, "background": self.background}
                revision.put(rows, merge_labels(label, best, sure, due, **rules))

    def _correct_by_predicting(self, due: list[int], epoch: int, batches: Any) -> None:
        if batches is None and self._trainer is not None:
            batches = self._trainer.train_dataloader
        if batches is None:
            raise ParameterError("settle() needs the training batches, for there is no Trainer: settle(batches).")
        predicted = self.predict_again(batches, flip=epoch >= self.flip_from)
        with self.masks.revision() as revision:
            for rows, best, top in predicted:
                label = (self.masks.given if self.reinit else self.masks.current)(rows).numpy()
                update = [self.background, *due]
                revision.put(rows, update_labels_voc(label, best, top, update, self.tau, self.background))

    @torch.no_grad()
    def predict_again(self, batches: Any, flip: bool) -> Any:
        """Yield rows, predicted classes and their probabilities of all training images, seen at several scales.

        All ranks yield the images of all ranks.
        """
        mode = self.training
        self.eval()
        try:
            for batch in again(batches, self.device):
                with self._precision():
                    logits = multi_view_logits(self.model, self.views.plain(batch.x), self.views_scales, flip=flip)
                p = (logits / self._temperature).softmax(1)
                top, best = (dense_crf(p, batch.x) if self.crf else p).max(1)
                rows, best, top = gather_rows(batch.index, best.to(torch.uint8), top)
                yield rows.cpu().numpy(), best.cpu().numpy(), top.cpu().numpy()
        finally:
            self.train(mode)

    def _precision(self) -> Any:
        """What the Trainer does for the precision that it was asked for."""
        return nullcontext() if self._trainer is None else self._trainer.precision_plugin.forward_context()

    def _rows(self) -> list[NDArray[np.int64]]:
        rows = self.evidence.seen.nonzero()[:, 0].numpy()
        return [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]

    def proposed_masks(self, rows: Any, given: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The corrected class where a pixel was corrected, else the last prediction."""
        current, original = self.masks.current(rows).numpy(), self.masks.given(rows).numpy()
        best = super().proposed_masks(rows, given)
        return np.where((current != original) & (current != self.ignore_index), current, best)


def _check(
    variant: str,
    scales: Sequence[float],
    views_scales: Sequence[float],
    shares: dict[str, float],
    thresholds: dict[str, float],
) -> None:
    if variant not in VARIANTS:
        raise UnknownNameError("variant of adele", variant, VARIANTS)
    for name, several in {"scales": scales, "views_scales": views_scales}.items():
        if not len(several) or not all(0.1 <= scale <= 10 for scale in several):
            raise ParameterError(f"{name} must be one or more numbers in [0.1, 10]; got {several!r}.")
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ParameterError(f"{name} must be in [0, 1]; got {value!r}.")
    for name, value in thresholds.items():
        if not 0.5 <= value <= 1:
            raise ParameterError(f"{name} must be in [0.5, 1]; got {value!r}.")

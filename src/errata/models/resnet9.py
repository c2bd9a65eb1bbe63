"""ResNet-9: nine layers that learn small photographs in a few epochs."""

from __future__ import annotations

from torch import Tensor, nn

from errata.models.base import Classifier, require_at_least, require_images
from errata.models.conv import convolution, initialise

__all__ = ["ResNet9"]


class ResNet9(Classifier):
    """Nine layers, two shortcuts, much pooling: for images of about 32 x 32, in minutes rather than hours.

    Parameters
    ----------
    num_classes : int >= 1
        K.
    in_channels : int >= 1, default 3
    width : int >= 1, default 32
        Channels of the first layer; the last has eight times as many. Page's network has 64, and costs four times as
        much.

    Notes
    -----
    With 32 channels it has 1.65 million parameters and 0.19 GFLOP per image of 32 x 32, a sixth of ResNet-18's.
    A schedule that rises and falls suits it: ``scheduler="one-cycle"``, ``lr=0.1``.

    Raises
    ------
    ParameterError
        A size out of range.

    Examples
    --------
    >>> import torch
    >>> model = ResNet9(10, width=8)
    >>> model(torch.zeros(2, 3, 32, 32)).shape, model.features(torch.zeros(2, 3, 9, 13)).shape
    (torch.Size([2, 10]), torch.Size([2, 64]))

    References
    ----------
    Page, "How to train your ResNet", 2018, https://myrtle.ai/how-to-train-your-resnet/.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, width: int = 32) -> None:
        super().__init__()
        require_at_least(1, num_classes=num_classes, in_channels=in_channels, width=width)
        self.in_channels = in_channels
        self.body = nn.Sequential(
            _layer(in_channels, width),
            _layer(width, 2 * width, pool=True),
            Residual(2 * width),
            _layer(2 * width, 4 * width, pool=True),
            _layer(4 * width, 8 * width, pool=True),
            Residual(8 * width),
        )
        self.classifier = nn.Linear(8 * width, num_classes)
        initialise(self)

    def features(self, x: Tensor) -> Tensor:
        """Return embeddings (B, 8 * width) of images (B, C, H, W): an eighth of each channel's largest value.

        Undivided they would make the first logits, and with them the first steps, far too large; Page divides the
        logits.
        """
        require_images(x, self.in_channels, "ResNet9")
        embedded: Tensor = self.body(x).amax((2, 3)) / 8
        return embedded


class Residual(nn.Module):
    """Two layers beside a shortcut, added after their ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(_layer(width, width), _layer(width, width))

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = x + self.inner(x)
        return summed


def _layer(inner: int, outer: int, *, pool: bool = False) -> nn.Sequential:
    """Convolution, normalisation, ReLU; pooled first, since a largest value can as well be taken before as after."""
    pooled = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(convolution(inner, outer), *pooled, nn.BatchNorm2d(outer), nn.ReLU(inplace=True))

"""Networks for images: a small one, and residual networks for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from errata.models.base import Classifier, require_at_least, require_images, require_share

__all__ = ["PreActResNet", "ResNet", "SmallCNN", "preact_resnet18", "resnet18", "resnet34"]


def convolution(inner: int, outer: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the image's size (but for the stride), without bias: a normalisation follows it."""
    return nn.Conv2d(inner, outer, size, stride, padding=size // 2, bias=False)


def initialise(model: nn.Module) -> None:
    """Kaiming's normal initialisation, which keeps the variance of gradients through ReLUs (He et al. 2015)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class SmallCNN(Classifier):
    """Three convolutions with batch normalisation, quick on a CPU, for images of any size from 8 x 8.

    Parameters
    ----------
    num_classes : int >= 1
        K.
    in_channels : int >= 1, default 3
    width : int >= 1, default 32
        Channels of the first layer; the others have two and four times as many.
    dropout : float in [0, 1), default 0
        On the embedding.

    Raises
    ------
    ParameterError
        A size or share out of range.

    Examples
    --------
    >>> import torch
    >>> model = SmallCNN(10, in_channels=1)
    >>> model(torch.zeros(2, 1, 28, 28)).shape, model.features(torch.zeros(2, 1, 9, 13)).shape
    (torch.Size([2, 10]), torch.Size([2, 128]))
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, width: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        require_at_least(1, num_classes=num_classes, in_channels=in_channels, width=width)
        require_share(dropout=dropout)
        self.in_channels = in_channels
        layers: list[nn.Module] = []
        inner = in_channels
        for stage, outer in enumerate((width, 2 * width, 4 * width)):
            if stage:
                layers.append(nn.MaxPool2d(2))
            layers += [convolution(inner, outer), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
            inner = outer
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(inner, num_classes)
        initialise(self)

    def features(self, x: Tensor) -> Tensor:
        """Return embeddings (B, 4 * width) of images (B, C, H, W)."""
        require_images(x, self.in_channels, "SmallCNN")
        embedded: Tensor = self.dropout(self.body(x).mean((2, 3)))
        return embedded


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, ReLU after the sum."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(inner, outer, stride=stride), nn.BatchNorm2d(outer)
        self.conv2, self.bn2 = convolution(outer, outer), nn.BatchNorm2d(outer)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            self.shortcut = nn.Sequential(convolution(inner, outer, 1, stride), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x), inplace=True)


class PreActBlock(nn.Module):
    """The same with normalisation and ReLU before each convolution, and nothing after the sum."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inner), convolution(inner, outer, stride=stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outer), convolution(outer, outer)
        self.shortcut = convolution(inner, outer, 1, stride) if stride != 1 or inner != outer else None

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        kept = x if self.shortcut is None else self.shortcut(out)
        summed: Tensor = self.conv2(F.relu(self.bn2(self.conv1(out)), inplace=True)) + kept
        return summed


class ResNet(Classifier):
    """A residual network for small images: a 3 x 3 stem of stride 1, no max-pooling, four stages.

    Parameters
    ----------
    num_classes : int >= 1
        K.
    in_channels : int >= 1, default 3
    depths : sequence of int >= 1, default (2, 2, 2, 2)
        Blocks per stage; each stage after the first halves the image and doubles the channels.
    width : int >= 1, default 64
        Channels of the first stage.

    Raises
    ------
    ParameterError
        A size out of range.

    Examples
    --------
    >>> import torch
    >>> model = ResNet(10, depths=(1, 1), width=8)
    >>> model(torch.zeros(2, 3, 32, 32)).shape, model.num_features
    (torch.Size([2, 10]), 16)

    References
    ----------
    He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015, arXiv 1512.03385; with the stem that
    the papers on label noise use for CIFAR.
    """

    block: type[nn.Module] = BasicBlock

    def __init__(
        self, num_classes: int, in_channels: int = 3, *, depths: Sequence[int] = (2, 2, 2, 2), width: int = 64
    ) -> None:
        super().__init__()
        require_at_least(1, num_classes=num_classes, in_channels=in_channels, depths=tuple(depths), width=width)
        self.in_channels = in_channels
        self.stem = self._make_stem(width)
        stages: list[nn.Module] = []
        inner = outer = width
        for stage, depth in enumerate(depths):
            outer = width * 2**stage
            for number in range(depth):
                stages.append(self.block(inner, outer, 2 if stage and not number else 1))
                inner = outer
        self.body = nn.Sequential(*stages)
        self.last = self._make_last(outer)
        self.classifier = nn.Linear(outer, num_classes)
        initialise(self)

    def _make_stem(self, width: int) -> nn.Module:
        return nn.Sequential(convolution(self.in_channels, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True))

    def _make_last(self, width: int) -> nn.Module:
        return nn.Identity()

    def features(self, x: Tensor) -> Tensor:
        """Return embeddings (B, D) of images (B, C, H, W): the last stage, averaged over the image."""
        require_images(x, self.in_channels, type(self).__name__)
        embedded: Tensor = self.last(self.body(self.stem(x))).mean((2, 3))
        return embedded


class PreActResNet(ResNet):
    """A residual network with pre-activation, for small images; parameters as of :class:`ResNet`.

    As in the paper, normalisation and ReLU follow the last block; some implementations leave these out.

    Examples
    --------
    >>> import torch
    >>> PreActResNet(10, depths=(1, 1), width=8)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])

    References
    ----------
    He, Zhang, Ren, Sun, "Identity mappings in deep residual networks", 2016, arXiv 1603.05027.
    """

    block = PreActBlock

    def _make_stem(self, width: int) -> nn.Module:
        return convolution(self.in_channels, width)

    def _make_last(self, width: int) -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def resnet18(num_classes: int, in_channels: int = 3, *, width: int = 64) -> ResNet:
    """Make ResNet-18 for small images: 11.17 million parameters for 10 classes.

    Examples
    --------
    >>> sum(p.numel() for p in resnet18(10).parameters())
    11173962
    """
    return ResNet(num_classes, in_channels, depths=(2, 2, 2, 2), width=width)


def resnet34(num_classes: int, in_channels: int = 3, *, width: int = 64) -> ResNet:
    """Make ResNet-34 for small images: 21.28 million parameters for 10 classes.

    Examples
    --------
    >>> sum(p.numel() for p in resnet34(10).parameters())
    21282122
    """
    return ResNet(num_classes, in_channels, depths=(3, 4, 6, 3), width=width)


def preact_resnet18(num_classes: int, in_channels: int = 3, *, width: int = 64) -> PreActResNet:
    """Make PreAct ResNet-18 for small images: 11.17 million parameters for 10 classes.

    Examples
    --------
    >>> sum(p.numel() for p in preact_resnet18(10).parameters())
    11172170
    """
    return PreActResNet(num_classes, in_channels, depths=(2, 2, 2, 2), width=width)

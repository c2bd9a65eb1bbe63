"""Small reference networks, and doors to timm and transformers.

``build(name, num_classes, input_shape)`` makes any of them by name; what it makes carries a ``spec`` from which
:func:`from_spec` makes it again, so a saved run is a spec and a state dict. Every model here answers
``features(x)`` with one embedding per sample, (B, D), and ends in a linear ``classifier`` from D to K; any other
``nn.Module`` from a batch to logits (B, K) serves for training as well.
"""

from errata.models.base import Classifier
from errata.models.conv import PreActResNet, ResNet, SmallCNN, preact_resnet18, resnet18, resnet34
from errata.models.dense import MLP, TextBag
from errata.models.doors import HFModel, TimmModel, tokenize
from errata.models.label_graph import LabelGraphNet, add_global_branches, label_cooccurrence
from errata.models.registry import build, from_spec, names, widened_spec
from errata.models.resnet9 import ResNet9
from errata.models.transformer import PatchTransformer, TransformerBlock
from errata.models.unet import UNet
from errata.parts.merging.modules import Attention

__all__ = [
    "MLP",
    "Attention",
    "Classifier",
    "HFModel",
    "LabelGraphNet",
    "PatchTransformer",
    "PreActResNet",
    "ResNet",
    "ResNet9",
    "SmallCNN",
    "TextBag",
    "TimmModel",
    "TransformerBlock",
    "UNet",
    "add_global_branches",
    "build",
    "from_spec",
    "label_cooccurrence",
    "names",
    "preact_resnet18",
    "resnet18",
    "resnet34",
    "tokenize",
    "widened_spec",
]

"""Systems that learn one class per sample."""

from __future__ import annotations

from errata.cards import Card

CARDS = [
    Card(
        slug="ce",
        name="Cross-entropy",
        task="classification",
        changes=(),
        needs=(),
        summary="plain training, the baseline of every claim; its running predictions fill the ledger",
        path=f"{__name__}.ce:CrossEntropyTraining",
    ),
    Card(
        slug="robust-loss",
        name="Training with a robust loss",
        task="classification",
        changes=("loss",),
        needs=(),
        summary="any loss of errata.losses in place of cross-entropy (loss='gce' by default)",
        path=f"{__name__}.robust_loss:RobustLossTraining",
    ),
    Card(
        slug="ogc",
        name="Optimized Gradient Clipping",
        task="classification",
        changes=("loss",),
        needs=("learning rate",),
        summary="clips the loss's gradient at a threshold refitted from a two-Gaussian model of recent losses",
        path=f"{__name__}.ogc:OptimizedGradientClippingTraining",
        paper="Ye et al., Optimized Gradient Clipping for Noisy Label Learning, AAAI 2025",
        year=2025,
        arxiv="2412.08941",
    ),
    Card(
        slug="anl",
        name="Active Negative Loss",
        task="classification",
        changes=("loss",),
        needs=(),
        summary="a normalised loss plus a normalised negative loss, with optional entropy regularisation",
        path=f"{__name__}.anl:ActiveNegativeTraining",
        paper="Ye et al., Active Negative Loss Functions for Learning with Noisy Labels, NeurIPS 2023",
        year=2023,
        arxiv="2412.02373",
    ),
    Card(
        slug="elr",
        name="Early-Learning Regularization",
        task="classification",
        changes=("target",),
        needs=("row index",),
        summary="keeps the network near its own running predictions, made before it could memorise wrong labels",
        path=f"{__name__}.elr:EarlyLearningRegularization",
        paper="Liu et al., Early-Learning Regularization Prevents Memorization of Noisy Labels, NeurIPS 2020",
        year=2020,
        arxiv="2007.00151",
    ),
    Card(
        slug="elr-plus",
        name="Early-Learning Regularization+ (two networks, mixup, weight averaging)",
        task="classification",
        changes=("target", "input", "model"),
        needs=("row index", "two networks"),
        summary="ELR whose targets come from the other network's averaged weights, with mixup",
        path=f"{__name__}.elr:EarlyLearningRegularizationPlus",
        paper="Liu et al., Early-Learning Regularization Prevents Memorization of Noisy Labels, NeurIPS 2020",
        year=2020,
        arxiv="2007.00151",
    ),
]

"""What training systems share: per-sample memory, teachers, mixing, mixtures, and the base class itself."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from errata.parts.batch import Batch, as_batch
    from errata.parts.distributed import (
        GlobalBatch,
        all_reduce_sum,
        from_first_rank,
        gather_rows,
        global_mean,
        rank,
        rank_weight,
        rows_per_rank,
        world_size,
    )
    from errata.parts.kept import Kept
    from errata.parts.mask_store import MaskStore
    from errata.parts.memory import SampleMemory
    from errata.parts.mixing import Mix, draw_beta, mixup
    from errata.parts.mixture import LossMixture
    from errata.parts.multilabel import MultiLabelSystem, known_signs
    from errata.parts.nodes import Graph, NodeSystem, graph_batch
    from errata.parts.peripheral import PeripheralTransforms
    from errata.parts.pixel_evidence import PixelEvidence
    from errata.parts.pixel_system import PixelSystem
    from errata.parts.precision import in_float32
    from errata.parts.propagation import column_normalized, propagate
    from errata.parts.prototypes import class_prototypes, cosine_scores
    from errata.parts.random import SharedRandom, random_state, restore_random_state
    from errata.parts.recorder import DynamicsRecorder
    from errata.parts.system import System
    from errata.parts.teacher import EMATeacher, fresh_copy
    from errata.parts.training_curve import CurveMonitor
    from errata.parts.views import Views

__all__ = [
    "Batch",
    "CurveMonitor",
    "DynamicsRecorder",
    "EMATeacher",
    "GlobalBatch",
    "Graph",
    "Kept",
    "LossMixture",
    "MaskStore",
    "Mix",
    "MultiLabelSystem",
    "NodeSystem",
    "PeripheralTransforms",
    "PixelEvidence",
    "PixelSystem",
    "SampleMemory",
    "SharedRandom",
    "System",
    "Views",
    "all_reduce_sum",
    "as_batch",
    "class_prototypes",
    "column_normalized",
    "cosine_scores",
    "draw_beta",
    "fresh_copy",
    "from_first_rank",
    "gather_rows",
    "global_mean",
    "graph_batch",
    "in_float32",
    "known_signs",
    "mixup",
    "propagate",
    "random_state",
    "rank",
    "rank_weight",
    "restore_random_state",
    "rows_per_rank",
    "world_size",
]

_PLACES = {
    "Batch": "batch",
    "CurveMonitor": "training_curve",
    "EMATeacher": "teacher",
    "Kept": "kept",
    "DynamicsRecorder": "recorder",
    "Graph": "nodes",
    "GlobalBatch": "distributed",
    "LossMixture": "mixture",
    "MaskStore": "mask_store",
    "Mix": "mixing",
    "PixelEvidence": "pixel_evidence",
    "PixelSystem": "pixel_system",
    "MultiLabelSystem": "multilabel",
    "NodeSystem": "nodes",
    "PeripheralTransforms": "peripheral",
    "SampleMemory": "memory",
    "SharedRandom": "random",
    "System": "system",
    "Views": "views",
    "all_reduce_sum": "distributed",
    "as_batch": "batch",
    "draw_beta": "mixing",
    "class_prototypes": "prototypes",
    "column_normalized": "propagation",
    "cosine_scores": "prototypes",
    "fresh_copy": "teacher",
    "from_first_rank": "distributed",
    "gather_rows": "distributed",
    "global_mean": "distributed",
    "graph_batch": "nodes",
    "in_float32": "precision",
    "known_signs": "multilabel",
    "mixup": "mixing",
    "propagate": "propagation",
    "random_state": "random",
    "rank": "distributed",
    "rank_weight": "distributed",
    "restore_random_state": "random",
    "rows_per_rank": "distributed",
    "world_size": "distributed",
}


def __getattr__(name: str) -> Any:
    # late: a batch or a mixture needs no Lightning, which takes seconds to import
    if name not in _PLACES:
        raise AttributeError(f"module 'errata.parts' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"errata.parts.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

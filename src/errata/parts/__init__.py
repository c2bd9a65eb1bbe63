"""What training systems share: per-sample memory, teachers, mixing, mixtures, and the base class itself."""

from errata.parts.batch import Batch, as_batch
from errata.parts.distributed import (
    all_reduce_sum,
    from_first_rank,
    gather_rows,
    global_mean,
    rank,
    rank_weight,
    rows_per_rank,
    world_size,
)
from errata.parts.memory import SampleMemory
from errata.parts.mixing import Mix, mixup
from errata.parts.mixture import LossMixture
from errata.parts.precision import in_float32
from errata.parts.random import SharedRandom, random_state, restore_random_state
from errata.parts.system import System
from errata.parts.teacher import EMATeacher, fresh_copy
from errata.parts.views import Views

__all__ = [
    "Batch",
    "EMATeacher",
    "LossMixture",
    "Mix",
    "SampleMemory",
    "SharedRandom",
    "System",
    "Views",
    "all_reduce_sum",
    "as_batch",
    "fresh_copy",
    "from_first_rank",
    "gather_rows",
    "global_mean",
    "in_float32",
    "mixup",
    "random_state",
    "rank",
    "rank_weight",
    "restore_random_state",
    "rows_per_rank",
    "world_size",
]

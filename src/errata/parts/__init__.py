"""What training systems share: per-sample memory, teachers, mixing, mixtures, and the base class itself."""

from errata.parts.batch import Batch
from errata.parts.distributed import all_reduce_sum, gather_rows, global_mean, rank_weight, world_size
from errata.parts.memory import SampleMemory
from errata.parts.mixing import Mix, mixup
from errata.parts.system import System
from errata.parts.teacher import EMATeacher
from errata.parts.views import Views

__all__ = [
    "Batch",
    "EMATeacher",
    "Mix",
    "SampleMemory",
    "System",
    "Views",
    "all_reduce_sum",
    "gather_rows",
    "global_mean",
    "mixup",
    "rank_weight",
    "world_size",
]

"""Images too many to keep decoded, as a dataset for the workers of a DataLoader."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from errata.data.images import Images, Shape, decode
from errata.errors import DataError

__all__ = ["ImageDataset"]


class ImageDataset(Dataset[Tensor]):
    """Images decoded when asked for: a map-style dataset of uint8 (C, H, W), for the workers of a DataLoader."""

    def __init__(self, images: Images, rows: np.ndarray, shape: Shape) -> None:
        self.images = images
        self.rows = rows
        self.shape = shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Tensor:
        row = int(self.rows[position])
        try:
            return torch.from_numpy(np.ascontiguousarray(decode(self.images.source(row), self.shape)))
        except DataError as error:
            raise DataError(f"The image in {self.images.name(row)} could be read before, but now {error}.") from error

"""Embeddings of small pictures that a CPU makes in seconds and that no label has touched: soft k-means of patches.

After Coates, Ng, Lee: An analysis of single-layer networks in unsupervised feature learning, AISTATS 2011.
"""

from __future__ import annotations

import numpy as np
import torch

SIZE, POOLS = 6, 2


def patch_features(images: np.ndarray, *, centroids: int = 200, patches: int = 20_000, seed: int = 0) -> np.ndarray:
    """(N, 4 x centroids) float32 of (N, H, W, 3) uint8 pictures: how near their patches are to typical ones."""
    mean, whiten, centres = _learn(images, centroids, patches, seed)
    parts = [_encode(images[i : i + 25], mean, whiten, centres) for i in range(0, len(images), 25)]
    return np.concatenate(parts)


def _normalised(patches: torch.Tensor) -> torch.Tensor:
    return (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True, unbiased=False) + 10).sqrt()


def _learn(images: np.ndarray, centroids: int, number: int, seed: int) -> tuple[torch.Tensor, ...]:
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(seed)
    of = rng.integers(0, len(images), number)
    top, left = rng.integers(0, images.shape[1] - SIZE + 1, (2, number))
    cut = [images[i, a : a + SIZE, b : b + SIZE].transpose(2, 0, 1).ravel() for i, a, b in zip(of, top, left)]
    patches = _normalised(torch.from_numpy(np.stack(cut).astype(np.float32))).numpy()
    mean = patches.mean(0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    whiten = ((vectors / np.sqrt(values + 0.1)) @ vectors.T).astype(np.float32)
    found = MiniBatchKMeans(centroids, random_state=seed, n_init=1, max_iter=20, batch_size=4096)
    centres = found.fit((patches - mean) @ whiten).cluster_centers_.astype(np.float32)
    return torch.from_numpy(mean), torch.from_numpy(whiten), torch.from_numpy(centres)


@torch.no_grad()
def _encode(images: np.ndarray, mean: torch.Tensor, whiten: torch.Tensor, centres: torch.Tensor) -> np.ndarray:
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    patches = torch.nn.functional.unfold(x, SIZE, stride=2).transpose(1, 2)
    z = (_normalised(patches) - mean) @ whiten
    distance = ((z * z).sum(2, keepdim=True) - 2 * z @ centres.T + (centres * centres).sum(1)).clamp(min=0).sqrt()
    near = (distance.mean(2, keepdim=True) - distance).clamp(min=0)
    side = int(near.shape[1] ** 0.5)
    grid = near.transpose(1, 2).reshape(len(x), -1, side, side)
    pooled = torch.nn.functional.adaptive_avg_pool2d(grid, POOLS).flatten(1)
    return pooled.numpy().astype(np.float32)

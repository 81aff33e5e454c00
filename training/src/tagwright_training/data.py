"""Photos in memory and their augmentation.

All photos of a part are decoded once into one uint8 array, squared by the serving side's own preprocessing, and kept
on disk beside the run, so that a resumed run starts at once. Augmentation runs on whole batches of tensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from tagwright_server.images.decode import DecodeLimits, decode
from tagwright_server.images.preprocess import Preprocessing
from tagwright_training.dataset import Dataset, Photo, read_bytes


def pixels(dataset: Dataset, photos: Sequence[Photo], preprocessing: Preprocessing, cache: Path) -> NDArray[np.uint8]:
    """The photos as `[n, size, size, 3]`, read from `cache` where an earlier run left them."""
    size = preprocessing.size
    key = hashlib.sha256(repr((str(dataset.root), [p.digest for p in photos], preprocessing)).encode()).hexdigest()[:16]
    path = cache / f"pixels-{key}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        array = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(photos), size, size, 3))
        for row, photo in enumerate(track(photos, "Decoding photos", transient=True)):
            array[row] = square(read_bytes(dataset, photo), preprocessing)
        array.flush()
        partial.rename(path)
    loaded: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return loaded


def square(data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The square of one encoded photo, as the server makes it; uint8 `[size, size, 3]`. Raises ImageRejected."""
    return decode(data, preprocessing, DecodeLimits()).pixels


def to_tensor(photos: NDArray[np.uint8], size: int) -> Tensor:
    """Photos `[n, H, W, 3]` as the network sees them without augmentation: float `[n, 3, size, size]`, 0 to 255."""
    return upscale(torch.from_numpy(np.array(photos)), size)  # a copy: the cache on disk is read-only


def upscale(photos: Tensor, size: int) -> Tensor:
    """uint8 `[n, H, W, 3]` to float `[n, 3, size, size]`; part of the exported network."""
    x = photos.permute(0, 3, 1, 2).float()
    if x.shape[2] != size:
        x = nnf.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    return x.contiguous(memory_format=torch.channels_last)


def augment(photos: NDArray[np.uint8], size: int, rng: torch.Generator, *, smallest_crop: float = 0.4) -> Tensor:
    """A random crop (area `smallest_crop` to 1, aspect 3:4 to 4:3), flip, and light, for every photo by itself.

    Crop, flip and scaling are one bilinear sampling; float `[n, 3, size, size]`, 0 to 255.
    """
    n = len(photos)
    x = torch.from_numpy(np.array(photos)).permute(0, 3, 1, 2).float()

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=rng) * (high - low) + low

    area, log_aspect = uniform(smallest_crop, 1.0), uniform(np.log(3 / 4), np.log(4 / 3))
    width = (area * log_aspect.exp()).sqrt().clamp(max=1.0)
    height = (area / log_aspect.exp()).sqrt().clamp(max=1.0)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2], theta[:, 1, 2] = (1 - width) * uniform(-1, 1), (1 - height) * uniform(-1, 1)
    grid = nnf.affine_grid(theta, [n, 3, size, size], align_corners=False)
    x = nnf.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    brightness, contrast, saturation = (uniform(0.75, 1.25).view(n, 1, 1, 1) for _ in range(3))
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (mean + (x - mean) * contrast) * brightness
    return x.clamp(0, 255).contiguous(memory_format=torch.channels_last)


def batches(n: int, batch_size: int, rng: torch.Generator) -> Iterator[NDArray[np.int64]]:
    """All of `n` in random order; the last incomplete batch is left out, since batch statistics want full ones."""
    order = torch.randperm(n, generator=rng).numpy()
    for start in range(0, n - batch_size + 1, batch_size):
        yield np.sort(order[start : start + batch_size])  # sorted: the array lies on disk

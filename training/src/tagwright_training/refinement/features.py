"""What networks make of photos: ImageNet features that no expert label ever touched, and what the served tagger gives.

Promises: the same photo gives the same numbers, whichever others are asked for along with it; what was computed once
lies in the cache folder and is not computed again, and a run that was interrupted goes on where it was.
Never: reads an annotation or a user tag.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference import allocator
from tagwright_server.inference.backend import check_outputs
from tagwright_server.inference.bundle import Bundle
from tagwright_training.data import square, to_tensor
from tagwright_training.dataset import Dataset, Photo, chunks, read_bytes
from tagwright_training.mirflickr import Advance
from tagwright_training.model import EfficientNetLite

IMAGENET = {"efficientnet-lite0": 224, "efficientnet-lite2": 240}
"""Networks with ImageNet weights and the side in pixels that each looks at; 1,280 features each."""

_SHARD = 1024  # photos that are computed and written together: what an interruption costs at most
_BATCH = 8  # beyond it a CPU only gets slower

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TaggerLook:
    """What the served tagger makes of photos: L2-normalised embedding `[n, D]`, calibrated scores `[n, labels]`."""

    embedding: Array
    scores: Array


def imagenet_features(
    architecture: str, dataset: Dataset, photos: Sequence[Photo], cache: Path, advance: Advance
) -> Array:
    """Pooled features `[n, 1280]` of a network with its ImageNet weights, not normalised."""
    size = IMAGENET[architecture]

    def load() -> Callable[[NDArray[np.uint8]], Array]:
        network = EfficientNetLite(architecture).eval()
        network.fold_batch_norms()

        def run(pixels: NDArray[np.uint8]) -> Array:
            features: Array = network(to_tensor(pixels, size)).numpy()
            return features

        return run

    return _cached(load, architecture, Preprocessing(size=size), dataset, photos, cache, advance)


def tagger_look(bundle: Bundle, dataset: Dataset, photos: Sequence[Photo], cache: Path, advance: Advance) -> TaggerLook:
    """What an exported model makes of the photos. Raises ModelUnavailable for nonsense, ImageRejected."""

    def load() -> Callable[[NDArray[np.uint8]], Array]:
        module = _module(bundle)

        def run(pixels: NDArray[np.uint8]) -> Array:
            scores, embedding = module(torch.from_numpy(pixels))
            return np.concatenate(check_outputs(bundle, len(pixels), scores.numpy(), embedding.numpy()), axis=1)

        return run

    preprocessing = Preprocessing.from_manifest(bundle.preprocessing)
    both = _cached(load, f"{bundle.name}-{bundle.digest[:8]}", preprocessing, dataset, photos, cache, advance)
    labels = len(bundle.labels)
    return TaggerLook(embedding=both[:, labels:].copy(), scores=both[:, :labels].copy())


def strict_scores(
    bundle: Bundle, dataset: Dataset, photos: Sequence[Photo], cache: Path, advance: Advance
) -> Array | None:
    """Scores `[n, strict labels]` of the outputs that the network has for strict labels; None where it has none.

    They are never served: plain labels are what people mean by a tag.
    """
    if not hasattr(_module(bundle), "strict_scores"):
        return None

    def load() -> Callable[[NDArray[np.uint8]], Array]:
        module = _module(bundle)

        def run(pixels: NDArray[np.uint8]) -> Array:
            scores: Array = module.strict_scores(torch.from_numpy(pixels)).numpy()
            return scores

        return run

    preprocessing = Preprocessing.from_manifest(bundle.preprocessing)
    return _cached(load, f"{bundle.name}-{bundle.digest[:8]}-strict", preprocessing, dataset, photos, cache, advance)


def _module(bundle: Bundle) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated since torch 2.11, and works
        return torch.jit.load(io.BytesIO(bundle.read_model()), map_location="cpu").eval()


def _cached(
    load: Callable[[], Callable[[NDArray[np.uint8]], Array]],
    name: str,
    preprocessing: Preprocessing,
    dataset: Dataset,
    photos: Sequence[Photo],
    cache: Path,
    advance: Advance,
) -> Array:
    cache.mkdir(parents=True, exist_ok=True)
    run = None
    parts, done = [], 0
    for shard in chunks(photos, _SHARD):
        key = hashlib.sha256(repr((preprocessing, [photo.digest for photo in shard])).encode()).hexdigest()[:16]
        path = cache / f"{name}-{key}.npy"
        if not path.exists():
            if run is None:
                allocator.keep_freed_memory()  # twice the photos per second on a CPU
                run = load()
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, _run(run, preprocessing, dataset, shard))
            partial.rename(path)
        parts.append(np.load(path))
        done += len(shard)
        advance(done, len(photos))
    return np.concatenate(parts)


def _run(
    network: Callable[[NDArray[np.uint8]], Array],
    preprocessing: Preprocessing,
    dataset: Dataset,
    shard: Sequence[Photo],
) -> Array:
    found = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, torch.inference_mode():
        decoded = pool.map(lambda photo: square(read_bytes(dataset, photo), preprocessing), shard)
        for batch in chunks(shard, _BATCH):
            found.append(network(np.stack([next(decoded) for _ in batch])))
    return np.concatenate(found)

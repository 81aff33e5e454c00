"""Runs exported models over photos: the served network on the served preprocessing, and nothing else.

Promises: photos go through the server's own decoder and each model's own preprocessing; scores are what its TorchScript
gives, unchanged.
Never: reads an annotation.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference import allocator
from tagwright_server.inference.backend import check_canary, check_outputs
from tagwright_server.inference.bundle import MANIFEST_FILE, Bundle, canary_pixels
from tagwright_training.data import square
from tagwright_training.dataset import Dataset, Photo, chunks, read_bytes
from tagwright_training.mirflickr import Advance

_DECODED_AT_ONCE = 128  # photos in memory: 20 MB at 224 pixels

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scored:
    """What one model says of some photos, in their order."""

    bundle: Bundle
    scores: Scores
    """Shape [photos, labels], in the order of the bundle's labels."""
    strict_labels: tuple[str, ...]
    """Strict labels the network has outputs of its own for; mostly none or all."""
    strict_scores: Scores
    """Shape [photos, strict labels]."""


def score(
    bundles: Sequence[Bundle],
    dataset: Dataset,
    photos: Sequence[Photo],
    *,
    advance: Advance = lambda done, total: None,
) -> list[Scored]:
    """Run every model over the photos. Raises ModelUnavailable for a nonsense answer, ImageRejected for a bad photo."""
    allocator.keep_freed_memory()  # twice the photos per second on a CPU
    networks = [_Network(bundle) for bundle in bundles]
    done = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for chunk in chunks(photos, _DECODED_AT_ONCE):
            data = list(pool.map(lambda photo: read_bytes(dataset, photo), chunk))
            squares: dict[Preprocessing, NDArray[np.uint8]] = {}
            for network in networks:
                wanted = network.preprocessing
                if wanted not in squares:
                    squares[wanted] = np.stack(list(pool.map(lambda photo, p=wanted: square(photo, p), data)))
                network.run(squares[wanted])
            done += len(chunk)
            advance(done, len(photos))
    return [network.scored() for network in networks]


def scores_of(bundle: Bundle, photos: Sequence[bytes]) -> Scores:
    """One model's scores of encoded photos, `[photos, labels]`. Raises like `score`."""
    network = _Network(bundle)
    network.run(np.stack([square(data, network.preprocessing) for data in photos]))
    return network.scored().scores


class _Network:
    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.preprocessing = Preprocessing.from_manifest(bundle.preprocessing)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated since torch 2.11, and works
            self._module: Any = torch.jit.load(io.BytesIO(bundle.read_model()), map_location="cpu").eval()
        manifest = json.loads((bundle.path / MANIFEST_FILE).read_text(encoding="utf-8"))
        own = hasattr(self._module, "strict_scores")
        self._strict_labels = tuple(manifest.get("strict_labels", ())) if own else ()
        self._scores: list[Scores] = []
        self._strict: list[Scores] = []
        with torch.inference_mode():
            check_canary(bundle, self._forward(canary_pixels(bundle.size)))

    def run(self, pixels: NDArray[np.uint8]) -> None:
        size = self.bundle.max_batch_size  # beyond it a CPU only gets slower
        with torch.inference_mode():
            for start in range(0, len(pixels), size):
                batch = pixels[start : start + size]
                self._scores.append(self._forward(batch))
                if self._strict_labels:
                    self._strict.append(self._module.strict_scores(torch.from_numpy(batch)).numpy())

    def scored(self) -> Scored:
        scores = np.concatenate(self._scores)
        strict = np.concatenate(self._strict) if self._strict else np.empty((len(scores), 0), np.float32)
        return Scored(self.bundle, scores, self._strict_labels, strict)

    def _forward(self, batch: NDArray[np.uint8]) -> Scores:
        scores, embedding = self._module(torch.from_numpy(batch))
        return check_outputs(self.bundle, len(batch), scores.numpy(), embedding.numpy())[0]

"""Small models for tests: a whole repository in a fraction of a second, with a real network of a few weights.

`write_repository` makes what `model_repository/` holds, sizes to choose. Without `network=True` model.pt is a few bytes
with a right digest, which needs no torch: enough for everything that does not run it.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tagwright_server.inference import triton_files
from tagwright_server.inference.bundle import Bundle, canary_pixels, load_bundle

LABELS = ("animals", "dog", "flower", "people", "sky")


def write_repository(folder: Path, names: Sequence[str] = ("tagger",), **options: Any) -> list[Bundle]:
    """Write a model of each name under `folder`; `options` are those of `write_bundle`. Each has its own weights."""
    return [write_bundle(folder, name, seed=seed, **options) for seed, name in enumerate(sorted(names))]


def write_bundle(
    repository: Path,
    name: str = "tagger",
    *,
    labels: Sequence[str] = LABELS,
    size: int = 32,
    embedding_size: int = 8,
    max_batch_size: int = 8,
    network: bool = True,
    work: int = 0,
    seed: int = 0,
    limits: triton_files.Limits | None = None,
) -> Bundle:
    """Write `repository/name/1` with everything Triton and the local engine want, and return it as loaded.

    `work` makes every photo cost that many multiplications of 256 x 256 matrices, for tests that need a slow network.
    """
    path = repository / name / "1"
    path.mkdir(parents=True)
    content, canary = _network(size, len(labels), embedding_size, work, seed) if network else (b"no network", None)
    (path / "model.pt").write_bytes(content)
    manifest = {
        "name": name,
        "version": "1",
        "architecture": "tiny",
        "created": "2026-01-02T03:04:05+00:00",
        "digest_sha256": hashlib.sha256(content).hexdigest(),
        "input": {"size": size, "layout": "NHWC", "dtype": "uint8"},
        "preprocessing": {"crop": "center-square", "size": size, "filter": "bicubic"},
        "embedding_size": embedding_size,
        "max_batch_size": max_batch_size,
        "labels": [
            {
                "name": label,
                "default_threshold": 0.5,
                "thresholds": {"0.5": 0.25, "0.7": 0.5, "0.9": None},
                "average_precision": 0.75,
            }
            for label in labels
        ],
        "metrics": {"map_24": 0.75},
        "training": {},
        "canary": {"scores": canary or [0.5] * len(labels)},
    }
    (path / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    bundle = load_bundle(path)
    triton_files.write(bundle, limits)
    return bundle


def edit_manifest(bundle: Bundle, **changes: Any) -> None:
    """Overwrite top-level fields of a written manifest."""
    file = bundle.path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def _network(size: int, labels: int, embedding_size: int, work: int, seed: int) -> tuple[bytes, list[float]]:
    import torch  # here, because most tests need no network

    class TinyNet(torch.nn.Module):
        """A 4 x 4 thumbnail, one linear layer each for scores and embedding."""

        def __init__(self) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(seed)
            self.to_scores = torch.nn.Parameter(torch.randn(48, labels, generator=generator))
            self.to_embedding = torch.nn.Parameter(torch.randn(48, embedding_size, generator=generator))
            self.ballast = torch.nn.Parameter(torch.randn(256, 256, generator=generator) / 16)
            self.bias = torch.nn.Parameter(torch.randn(embedding_size, generator=generator))

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            planes = pixels.permute(0, 3, 1, 2).float() / 255 - 0.5
            thumbnail = torch.nn.functional.adaptive_avg_pool2d(planes, 4).flatten(1)
            if work:
                heavy = self.ballast.expand(pixels.shape[0], 256, 256)
                for _ in range(work):
                    heavy = torch.tanh(heavy @ self.ballast)
                thumbnail = thumbnail + 1e-12 * heavy.mean((1, 2))[:, None]
            embedding = torch.nn.functional.normalize(thumbnail @ self.to_embedding + self.bias, dim=1)
            return torch.sigmoid(thumbnail @ self.to_scores), embedding

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated since torch 2.11
        pixels = torch.from_numpy(canary_pixels(size))
        network = torch.jit.trace(TinyNet().eval(), (pixels.expand(2, -1, -1, -1),))
        file = io.BytesIO()
        torch.jit.save(network, file)
        scores, _ = network(pixels)
        return file.getvalue(), [float(score) for score in scores[0]]

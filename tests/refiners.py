"""A small refiner for the small models of `bundles`, and a network whose embedding a test can aim.

The starter library has two kinds of photos: skies, which look like photos of score 90, and dogs, which look like 10.
"""

from __future__ import annotations

import hashlib
import io
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray
from people import Eye

from tagwright_server.inference.backend import Prediction
from tagwright_server.inference.bundle import Bundle
from tagwright_server.refinement import artefact, batch, label_words, starter
from tagwright_server.refinement.artefact import Manifest, Thresholds, Weights
from tagwright_server.refinement.batch import BaseModelFacts, BatchManifest
from tagwright_server.refinement.evidence import FEATURES

STARTER = 80  # photos
SKY, DOG = 90, 10
_CONCEPTS = frozenset({"beach", "collie", "cat", "moon", "rock", "kitten", "owl"})


class LookingEye(Eye):
    """A network to which photos look the more alike the nearer their scores are."""

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        seen = super().infer(model, pixels, timeout_s=timeout_s)
        seen.embedding[:] = looks(pixels[:, 0, 0, 0], model.embedding_size)
        return seen


def looks(scores: NDArray[np.generic], size: int) -> NDArray[np.float32]:
    """Embeddings `[n, size]` of photos of these scores, 0 to 100: a quarter of a circle."""
    angle = scores.astype(np.float64) / 100 * np.pi / 2
    found = np.zeros((len(scores), size), np.float32)
    found[:, 0], found[:, 1] = np.cos(angle), np.sin(angle)
    return found


def write_refiner(bundle: Bundle) -> None:
    """Write a refiner beside a model: votes and the look decide, and where a label means a tag, its score alone."""
    rng = np.random.default_rng(1)
    scores = np.concatenate([SKY + rng.normal(0, 4, STARTER // 2), DOG + rng.normal(0, 4, STARTER // 2)])
    tags = [("sky", "beach", "nikon")] * (STARTER // 2) + [("dog", "collie", "nikon")] * (STARTER // 2)
    labels = [label.name for label in bundle.labels]
    words = label_words.to_arrays(["collie"], labels, np.zeros((1, len(labels))), np.zeros(len(labels)))
    arrays = artefact.pack(starter.to_arrays(looks(scores, bundle.embedding_size), tags) | words, _CONCEPTS)
    none = dict.fromkeys(FEATURES, 0.0)
    weights = Weights(
        with_label=none | {"network": 1.0},
        without_label=none | {"votes": 1.5, "probe": 1.0},
        label_offsets={},
    )
    manifest = Manifest(
        model=f"{bundle.name}@{bundle.version}",
        model_digest_sha256=bundle.digest,
        digest_sha256=hashlib.sha256(arrays).hexdigest(),
        created=datetime(2026, 1, 2, tzinfo=timezone.utc),
        embedding_size=bundle.embedding_size,
        neighbours=20,
        given=weights,
        missing=weights,
        tags_of_label={label.name: [label.name] for label in bundle.labels},
        keep_with_label=0.6,
        keep_without_label=0.6,
        thresholds={
            "0.8": Thresholds(remove=0.2, remove_without_label=0.2, add=0.8, add_without_label=0.8),
            "0.9": Thresholds(remove=0.1, remove_without_label=0.1, add=0.9, add_without_label=0.9),
        },
        default_precision="0.8",
        visible_from=0.3,
        metrics={},
    )
    folder = bundle.path / artefact.FOLDER
    folder.mkdir()
    (folder / artefact.ARRAYS_FILE).write_bytes(arrays)
    (folder / artefact.MANIFEST_FILE).write_text(manifest.model_dump_json())


def write_batch_refiner(bundle: Bundle) -> None:
    """Write `nightly@1` beside a model: a beach is as likely as a photo is high up, a collie as it is not."""
    size = bundle.embedding_size
    head = np.zeros((size, 2), np.float32)
    head[0, 0] = head[1, 1] = 1.0
    arrays: dict[str, NDArray[Any]] = {
        "names": np.frombuffer(b"collie\nbeach", np.uint8),
        "head": head,
        "head_bias": np.zeros(2),
        "basis": np.eye(2),
        "gain": np.ones(2),
        "scale": np.ones(2),
        "own": np.full(1, 0.1),
        "slope": np.full(2, 10.0),
        "offset": np.full(2, -5.0),
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    manifest = BatchManifest(
        name="nightly",
        version="1",
        method="robust-pca",
        base=BaseModelFacts(model=f"{bundle.name}@{bundle.version}", digest_sha256=bundle.digest),
        vocabulary_size=2,
        embedding_size=size,
        created=datetime(2026, 1, 2, tzinfo=timezone.utc),
        digest_sha256=hashlib.sha256(file.getvalue()).hexdigest(),
        thresholds={"add": {"0.8": 0.9}, "remove": {"0.8": 0.1}},
    )
    folder = bundle.path / batch.BATCH_FOLDER / "nightly"
    folder.mkdir(parents=True)
    (folder / batch.FACTORS_FILE).write_bytes(file.getvalue())
    (folder / batch.MANIFEST_FILE).write_text(manifest.model_dump_json())

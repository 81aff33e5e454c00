"""The models that come with Tagwright, on real photos: both engines say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tritons import needs_triton

from tagwright_server.images.decode import DecodeLimits, decode
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference.bundle import load_bundles
from tagwright_server.inference.torchscript import LocalBackend
from tagwright_server.inference.triton import TritonBackend

ROOT = Path(__file__).parents[2]
PARITY = 1e-4


@needs_triton
def test_the_sample_photos_get_the_same_scores_from_triton_and_in_this_process() -> None:
    models = load_bundles(ROOT / "model_repository")
    paths = sorted((ROOT / "demo" / "photos").glob("*.jpg"))
    assert {model.name for model in models} == {"plain-cnn", "tagger"}
    local, triton = LocalBackend(models), TritonBackend(models)
    try:
        for model in models:
            preprocessing = Preprocessing.from_manifest(model.preprocessing)
            pixels = np.stack([decode(path.read_bytes(), preprocessing, DecodeLimits()).pixels for path in paths])
            here, there = (engine.infer(model, pixels, timeout_s=30) for engine in (local, triton))
            np.testing.assert_allclose(here.scores, there.scores, atol=PARITY)
            np.testing.assert_allclose(here.embedding, there.embedding, atol=PARITY)
            assert here.scores.std(axis=0).max() > 0.1  # it does tell these photos apart
    finally:
        local.close()
        triton.close()

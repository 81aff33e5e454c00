"""The models in the repository are whole, and what Triton reads beside them was written from their manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagwright_server.inference import triton_files
from tagwright_server.inference.bundle import load_bundles

REPOSITORY = Path(__file__).parents[2] / "model_repository"
LARGEST_BYTES = 25 << 20  # what a newcomer fetches with the source


@pytest.mark.parametrize("name", ["plain-cnn", "tagger"])
def test_the_files_beside_a_model_follow_from_its_manifest(name: str) -> None:
    bundle = {bundle.name: bundle for bundle in load_bundles(REPOSITORY)}[name]
    limits = triton_files.Limits()
    folder = bundle.path.parent
    assert (folder / "config.pbtxt").read_text(encoding="utf-8") == triton_files.libtorch_config(bundle, limits)
    assert (folder / "configs/python.pbtxt").read_text(encoding="utf-8") == triton_files.python_config(bundle, limits)
    assert (bundle.path / "model.py").read_text(encoding="utf-8") == triton_files.model_script()


def test_models_fit_into_the_source() -> None:
    assert sum(len(bundle.read_model()) for bundle in load_bundles(REPOSITORY)) <= LARGEST_BYTES

"""A bundle is believed only if everything in it fits, and what does not is said in one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import pytest

from tagwright_server.errors import StartupError
from tagwright_server.inference import triton_files
from tagwright_server.inference.bundle import Bundle, canary_pixels, load_bundle, load_bundles


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundles.write_bundle(tmp_path, network=False)


def refusal(bundle: Bundle) -> str:
    with pytest.raises(StartupError) as refused:
        load_bundle(bundle.path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_bundle_is_what_its_manifest_says(bundle: Bundle) -> None:
    assert [label.name for label in bundle.labels] == list(bundles.LABELS)
    assert bundle.labels[0].thresholds == {"0.5": 0.25, "0.7": 0.5, "0.9": None}
    assert (bundle.name, bundle.version, bundle.size, bundle.embedding_size) == ("tagger", "1", 32, 8)
    assert bundle.created.tzinfo is not None
    assert bundle.digest == hashlib.sha256(bundle.read_model()).hexdigest()


def test_a_repository_gives_every_model_in_the_order_of_names(tmp_path: Path) -> None:
    bundles.write_repository(tmp_path, ("tagger", "plain-cnn"), network=False)
    (tmp_path / "README.md").write_text("not a model", encoding="utf-8")
    assert [bundle.name for bundle in load_bundles(tmp_path)] == ["plain-cnn", "tagger"]


def test_the_newest_version_counts_and_ten_is_newer_than_nine(bundle: Bundle) -> None:
    for version in ("9", "10"):
        bundle.path.parent.joinpath(version).mkdir()
        for file in ("model.pt", "manifest.json"):
            bundle.path.parent.joinpath(version, file).write_bytes((bundle.path / file).read_bytes())
    newest = bundle.path.parent / "10"
    manifest = json.loads((newest / "manifest.json").read_text(encoding="utf-8"))
    (newest / "manifest.json").write_text(json.dumps(manifest | {"version": "10"}), encoding="utf-8")
    assert [found.version for found in load_bundles(bundle.path.parent.parent)] == ["10"]


def test_a_flipped_byte_in_the_network_is_refused_before_anything_loads_it(bundle: Bundle) -> None:
    content = bytearray((bundle.path / "model.pt").read_bytes())
    content[3] ^= 1
    (bundle.path / "model.pt").write_bytes(content)
    assert "model.pt: SHA-256 is" in refusal(bundle)
    with pytest.raises(StartupError):
        bundle.read_model()


def test_a_missing_network_is_named(bundle: Bundle) -> None:
    (bundle.path / "model.pt").unlink()
    assert "model.pt: cannot be read" in refusal(bundle)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": []}, "labels"),
        ({"name": "other"}, "name is 'other', its folder says 'tagger'"),
        ({"version": "2"}, "version is '2', its folder says '1'"),
        ({"digest_sha256": "abc"}, "digest_sha256"),
        ({"input": {"size": 64, "layout": "NHWC", "dtype": "uint8"}}, "makes squares of 32, the network wants 64"),
        ({"input": {"size": 32, "layout": "NCHW", "dtype": "uint8"}}, "input.layout"),
        ({"canary": {"scores": [0.5]}}, "canary has 1 scores for 5 labels"),
        ({"canary": {"scores": [1.5] * 5}}, "canary.scores.0"),
        ({"embedding_size": 0}, "embedding_size"),
        ({"embedding_size": "8"}, "embedding_size"),
        ({"max_batch_size": 65}, "max_batch_size"),
        ({"metrics": {"map_24": float("nan")}}, "metrics.map_24"),
        ({"created": "2026-01-02T03:04:05"}, "created"),
    ],
)
def test_a_manifest_that_cannot_be_true_is_refused(bundle: Bundle, changes: dict[str, Any], said: str) -> None:
    bundles.edit_manifest(bundle, **changes)
    text = refusal(bundle)
    assert text.startswith(str(bundle.path / "manifest.json"))
    assert said in text


def test_a_label_that_appears_twice_is_named(bundle: Bundle) -> None:
    manifest = json.loads((bundle.path / "manifest.json").read_text(encoding="utf-8"))
    bundles.edit_manifest(bundle, labels=[*manifest["labels"][:4], manifest["labels"][0]])
    assert "labels appear twice: animals" in refusal(bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_a_manifest_that_is_no_manifest_is_refused(bundle: Bundle, content: bytes) -> None:
    (bundle.path / "manifest.json").write_bytes(content)
    assert refusal(bundle).startswith(str(bundle.path / "manifest.json"))


def test_no_models_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StartupError, match=str(wrong)):
            load_bundles(wrong)
    (tmp_path / "tagger").mkdir()
    with pytest.raises(StartupError, match="holds no version folder"):
        load_bundles(tmp_path)


def test_the_canary_frame_follows_its_formula() -> None:
    pixels = canary_pixels(40)
    assert pixels.shape == (1, 40, 40, 3)
    assert pixels.dtype == np.uint8
    assert pixels[0, 31, 17, 2] == (31 * 7 + 17 * 13 + 2 * 29) % 256


def test_a_bundle_cannot_be_changed(bundle: Bundle) -> None:
    with pytest.raises(AttributeError):
        bundle.name = "other"  # type: ignore[misc]


def test_triton_reads_its_configurations_as_they_are_meant(bundle: Bundle) -> None:
    text_format = pytest.importorskip("google.protobuf.text_format")
    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    configs = {
        variant: text_format.Parse((bundle.path.parent / file).read_text(encoding="utf-8"), model_config.ModelConfig())
        for variant, file in (("libtorch", "config.pbtxt"), ("python", "configs/python.pbtxt"))
    }
    for config in configs.values():
        assert config.name == bundle.name
        assert config.max_batch_size == bundle.max_batch_size
        assert {tensor.name: list(tensor.dims) for tensor in config.input} == {triton_files.INPUT: [32, 32, 3]}
        outputs = {tensor.name: list(tensor.dims) for tensor in config.output}
        assert outputs.items() >= {triton_files.SCORES: [5], triton_files.EMBEDDING: [8]}.items()
        assert config.instance_group[0].kind == model_config.ModelInstanceGroup.KIND_AUTO
        queue = config.dynamic_batching.default_queue_policy
        assert (queue.max_queue_size, queue.default_timeout_microseconds) == (64, 2_000_000)
        assert queue.timeout_action == model_config.ModelQueuePolicy.REJECT
        assert config.dynamic_batching.max_queue_delay_microseconds == 2_000
        assert [warmup.batch_size for warmup in config.model_warmup] == list(range(1, bundle.max_batch_size + 1))
        assert config.parameters[triton_files.DIGEST].string_value == bundle.digest
    assert configs["libtorch"].platform == "pytorch_libtorch"
    assert configs["python"].backend == "python"


def test_what_triton_runs_is_the_text_of_our_own_file(bundle: Bundle) -> None:
    assert (bundle.path / "model.py").read_text(encoding="utf-8") == triton_files.model_script()

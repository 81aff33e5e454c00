"""Codes are read as they were written, nothing else is believed, and distances count bits."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagwright_server.errors import StartupError
from tagwright_server.inference.bundle import load_bundle
from tagwright_server.search import codes
from tagwright_server.search.codes import Encoder, Layer, Manifest

COMMITTED = Path(__file__).parents[2] / "model_repository/tagger/1"
SIZE, BITS = 16, 64


def encoder(seed: int = 1, *, size: int = SIZE, bits: int = BITS) -> Encoder:
    rng = np.random.default_rng(seed)
    return Encoder(
        (
            Layer(rng.standard_normal((size, 8)).astype(np.float32), np.zeros(8, np.float32)),
            Layer(rng.standard_normal((8, bits)).astype(np.float32), rng.standard_normal(bits).astype(np.float32)),
        )
    )


def write(folder: Path, content: bytes, **said: Any) -> None:
    manifest = Manifest(
        model="tagger@1",
        model_digest_sha256="a" * 64,
        digest_sha256=hashlib.sha256(content).hexdigest(),
        created=datetime(2026, 11, 26, tzinfo=timezone.utc),
        embedding_size=SIZE,
        bits=BITS,
        method="made up",
        training={},
        metrics={},
    )
    (folder / codes.WEIGHTS_FILE).write_bytes(content)
    (folder / codes.MANIFEST_FILE).write_text(json.dumps(json.loads(manifest.model_dump_json()) | said))


def read(folder: Path, **said: Any) -> codes.Artefact:
    expected: dict[str, Any] = {"model": "tagger@1", "model_digest": "a" * 64, "embedding_size": SIZE}
    return codes.load(folder, **(expected | said))


def test_distances_are_the_bits_that_differ_at_every_length() -> None:
    rng = np.random.default_rng(1)
    for size in (8, 16, 24, 32):
        there = rng.integers(0, 256, (500, size), dtype=np.uint8)
        found = codes.distances(there[7], there)
        assert found.tolist() == np.unpackbits(there ^ there[7], axis=1).sum(axis=1).tolist()
        assert found[7] == 0


def test_there_may_be_nothing_to_compare_with_and_other_lengths_are_refused() -> None:
    assert len(codes.distances(np.zeros(8, np.uint8), np.empty((0, 8), np.uint8))) == 0
    assert len(codes.nearest(np.empty(0, np.int32), 5)) == 0
    for one, there in ((8, 16), (4, 4)):
        with pytest.raises(ValueError, match="codes of shape"):
            codes.distances(np.zeros(one, np.uint8), np.zeros((3, there), np.uint8))


def test_the_nearest_come_first_and_of_equal_ones_the_first_places() -> None:
    apart = np.array([3, 1, 2, 1, 3, 0, 2], np.int32)
    assert codes.nearest(apart, 4).tolist() == [5, 1, 3, 2]
    assert codes.nearest(apart, 5).tolist() == [5, 1, 3, 2, 6]
    assert codes.nearest(apart, 99).tolist() == np.argsort(apart, kind="stable").tolist()
    many = np.random.default_rng(2).integers(0, 9, 1000).astype(np.int32)
    for count in (1, 50, 999):
        assert codes.nearest(many, count).tolist() == np.argsort(many, kind="stable")[:count].tolist()


def test_a_code_is_the_signs_of_the_last_step_packed() -> None:
    made = encoder()
    x = np.random.default_rng(3).standard_normal((5, SIZE)).astype(np.float32)
    first, last = made.layers
    by_hand = np.maximum(x @ first.weights + first.offsets, 0) @ last.weights + last.offsets > 0
    assert made.codes(x).dtype == np.uint8
    assert made.codes(x).shape == (5, BITS // 8)
    assert np.unpackbits(made.codes(x), axis=1).tolist() == by_hand.astype(int).tolist()
    with pytest.raises(ValueError, match="vectors of shape"):
        made.codes(x[:, 1:])


def test_an_encoder_comes_back_as_it_was_written_to_half_precision(tmp_path: Path) -> None:
    write(tmp_path, codes.pack(encoder()))
    found = read(tmp_path)
    assert found.manifest.bits == found.encoder.bits == BITS
    for mine, theirs in zip(found.encoder.layers, encoder().layers, strict=True):
        assert np.array_equal(mine.weights, theirs.weights.astype(np.float16).astype(np.float32))
    assert codes.pack(found.encoder) == codes.pack(encoder())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"model": "other@1"}, "model is 'tagger@1', its model's is 'other@1'"),
        ({"model_digest": "f" * 64}, "model_digest_sha256 is"),
        ({"embedding_size": 128}, "embedding_size is 16, its model's is 128"),
    ],
)
def test_an_encoder_of_another_model_is_refused(tmp_path: Path, said: dict[str, Any], why: str) -> None:
    write(tmp_path, codes.pack(encoder()))
    with pytest.raises(StartupError, match=why):
        read(tmp_path, **said)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"bits": 100}, "codes of 100 bits"),
        ({"bits": 32}, "bits"),
        ({"bits": 128}, "codes have 64 numbers, manifest.json says 128"),
        ({"digest_sha256": "b" * 64}, "SHA-256 is"),
        ({"method": 7}, "method"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    write(tmp_path, codes.pack(encoder()), **change)
    with pytest.raises(StartupError, match=why) as refused:
        read(tmp_path)
    assert "\n" not in str(refused.value)


def test_weights_that_are_gone_broken_or_of_another_size_are_refused(tmp_path: Path) -> None:
    write(tmp_path, b"no archive")
    with pytest.raises(StartupError, match="not the weights of an encoder"):
        read(tmp_path)
    write(tmp_path, codes.pack(encoder(size=SIZE + 1)))
    with pytest.raises(StartupError, match="embeddings have 17 numbers"):
        read(tmp_path)
    first, last = encoder().layers
    write(tmp_path, codes.pack(Encoder((first, Layer(last.weights[1:], last.offsets)))))
    with pytest.raises(StartupError, match="step 1"):
        read(tmp_path)
    write(tmp_path, codes.pack(Encoder((first, Layer(last.weights * np.float32(np.nan), last.offsets)))))
    with pytest.raises(StartupError, match="not finite"):
        read(tmp_path)
    write(tmp_path, codes.pack(Encoder(())))
    with pytest.raises(StartupError, match="no step in it"):
        read(tmp_path)
    (tmp_path / codes.WEIGHTS_FILE).unlink()
    with pytest.raises(StartupError, match="cannot be read"):
        read(tmp_path)


def test_the_committed_encoder_belongs_to_the_committed_model_and_is_small() -> None:
    model = load_bundle(COMMITTED)
    folder = COMMITTED / codes.FOLDER
    found = codes.load(folder, model="tagger@1", model_digest=model.digest, embedding_size=model.embedding_size)
    assert (folder / codes.WEIGHTS_FILE).stat().st_size < 1_000_000
    assert found.manifest.metrics["nearest_20_at_0.05"] >= 0.95


def test_the_committed_encoder_finds_most_neighbours_among_a_twentieth_of_the_starter_library() -> None:
    from tagwright_server.refinement import artefact

    model = load_bundle(COMMITTED)
    said: dict[str, Any] = {
        "model": "tagger@1",
        "model_digest": model.digest,
        "embedding_size": model.embedding_size,
    }
    vectors = artefact.load(COMMITTED / artefact.FOLDER, **said).starter.vectors[:4000]
    made = codes.load(COMMITTED / codes.FOLDER, **said).encoder
    there, found = made.codes(vectors), []
    for row in range(0, 4000, 100):
        exact = np.argsort(-(vectors @ vectors[row]))[:20]
        looked_at = codes.nearest(codes.distances(there[row], there), 200)
        found.append(np.isin(exact, looked_at).mean())
    assert np.mean(found) > 0.9

"""A refiner is read as it was written, and nothing else is believed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagwright_server.errors import StartupError
from tagwright_server.inference.bundle import load_bundle
from tagwright_server.refinement import artefact, starter
from tagwright_server.refinement.records import Decision, Photo
from tagwright_server.refinement.refiner import Refiner

TAGS = (("sky", "dog"), (), ("été", "sky"))


@pytest.fixture
def committed() -> Path:
    return Path(__file__).parents[2] / "model_repository/tagger/1"


def read(folder: Path, **said: Any) -> artefact.Artefact:
    manifest = json.loads((folder / artefact.MANIFEST_FILE).read_text())
    expected = {"model": "tagger@1", "model_digest": manifest["model_digest_sha256"], "embedding_size": 256}
    return artefact.load(folder, **(expected | said))


@pytest.fixture
def folder(committed: Path, tmp_path: Path) -> Path:
    for name in (artefact.MANIFEST_FILE, artefact.ARRAYS_FILE):
        (tmp_path / name).write_bytes((committed / artefact.FOLDER / name).read_bytes())
    return tmp_path


def test_a_library_comes_back_as_it_was_stored_to_a_few_thousandths() -> None:
    vectors = np.random.default_rng(1).standard_normal((3, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = starter.from_arrays(starter.to_arrays(vectors, TAGS))
    assert found.tags == TAGS
    assert np.allclose(found.vectors, vectors, atol=0.01)


def test_the_committed_refiner_belongs_to_the_committed_model_and_is_small(committed: Path) -> None:
    model = load_bundle(committed)
    found = artefact.load(
        committed / artefact.FOLDER, model="tagger@1", model_digest=model.digest, embedding_size=model.embedding_size
    )
    assert len(found.starter) > 10_000
    assert (committed / artefact.FOLDER / artefact.ARRAYS_FILE).stat().st_size < 10_000_000
    assert {label.name for label in model.labels} == set(found.manifest.tags_of_label)


def test_the_committed_refiner_removes_no_name_year_or_camera_from_anything(committed: Path) -> None:
    found = artefact.load(
        committed / artefact.FOLDER,
        model="tagger@1",
        model_digest=load_bundle(committed).digest,
        embedding_size=256,
    )
    refiner, statistics = Refiner(found), found.starter.statistics()
    tags = ("nikon", "canon", "2008", "macromondays", "bob", "london", "explore", "\U0001f600", "d80", "flickr")
    for vector in found.starter.vectors[:200:10]:
        photo = Photo(vector, {}, tags)
        decisions = refiner.refine(photo, found.starter.neighbours(vector, 200), statistics)
        assert {each.name for each in decisions if each.decision is Decision.UNSURE} == set(tags)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"model": "other@1"}, "model is 'tagger@1', its model's is 'other@1'"),
        ({"model_digest": "f" * 64}, "model_digest_sha256 is"),
        ({"embedding_size": 128}, "embedding_size is 256, its model's is 128"),
    ],
)
def test_a_refiner_of_another_model_is_refused(folder: Path, said: dict[str, Any], why: str) -> None:
    with pytest.raises(StartupError, match=why):
        read(folder, **said)


def test_arrays_that_were_changed_or_are_gone_are_refused(folder: Path) -> None:
    file = folder / artefact.ARRAYS_FILE
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(StartupError, match="SHA-256 is"):
        read(folder)
    file.unlink()
    with pytest.raises(StartupError, match="cannot be read"):
        read(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"given": 1}, "given"),
        ({"default_precision": "0.85"}, "no thresholds for the default precision 0.85"),
        ({"visible_from": 2}, "visible_from"),
        ({"digest_sha256": "abc"}, "digest_sha256"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused_with_its_file_and_field(
    folder: Path, change: dict[str, Any], why: str
) -> None:
    file = folder / artefact.MANIFEST_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(StartupError, match=why) as refused:
        read(folder)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_library_is_refused(folder: Path) -> None:
    data = b"not an archive"
    (folder / artefact.ARRAYS_FILE).write_bytes(data)
    file = folder / artefact.MANIFEST_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"digest_sha256": hashlib.sha256(data).hexdigest()}))
    with pytest.raises(StartupError, match="not a starter library"):
        read(folder)


def test_weights_of_other_evidence_are_refused(folder: Path) -> None:
    file = folder / artefact.MANIFEST_FILE
    manifest = json.loads(file.read_text())
    manifest["given"]["with_label"]["moon"] = 1.0
    file.write_text(json.dumps(manifest))
    with pytest.raises(StartupError, match="moon"):
        read(folder)

"""`tagwright-train refine`: from a folder of photos to a bundle that the server loads; refusals; calibration."""

from __future__ import annotations

from pathlib import Path

import bundles
import flickr
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tagwright_server.inference.bundle import load_bundle
from tagwright_server.refinement.batch import BatchRefiner
from tagwright_training.prepare import read_folder
from tagwright_training.refinement import lowrank, refine
from tagwright_training.refinement.corpus import Embedded, TagMatrix
from tagwright_training.refinement.features import tagger_look
from tagwright_training.refinement.folding import FittedModel, vocabulary
from tagwright_training.refinement.memory import Peak, line, made_up, measure
from tagwright_training.refinement.robust_pca import RobustPca

pytestmark = pytest.mark.unit

PHOTOS = 900


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of which a third are dogs; most dogs are tagged, and so are a few other photos."""
    rng = np.random.default_rng(1)
    ids = range(1, PHOTOS + 1)
    dogs = [i for i in ids if i % 3 == 0]
    tags = {
        i: [*(["dog"] if rng.random() < (0.7 if i % 3 == 0 else 0.05) else []), *(["nikon"] if i % 2 else []), "all"]
        for i in ids
    }
    root = tmp_path_factory.mktemp("library") / "data"
    return flickr.with_tables(root, ids=ids, lists={"dog": dogs, "dog_r1": dogs, "sky": [1, 2]}, tags=tags)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("models")
    bundles.write_bundle(repository)
    return repository


def _run(*words: str | Path) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(refine.command)
    result = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "300", "TERM": "dumb"})
    return result.exit_code, result.output


@pytest.mark.parametrize("method", sorted(refine.METHODS))
def test_a_folder_becomes_a_bundle_that_the_server_loads(
    library: Path, models: Path, tmp_path: Path, method: str
) -> None:
    code, output = _run(
        library, "--method", method, "--out", tmp_path / "mine", "--model-repository", models, "--cache", tmp_path / "c"
    )  # fmt: skip
    assert code == 0, output
    refiner = BatchRefiner.load(tmp_path / "mine")
    assert refiner.names == ("all", "nikon", "dog")  # the commonest first
    assert refiner.manifest.base.model == "tagger@1"
    assert refiner.manifest.metrics["tags_calibrated_on_labels"] == 1  # dog
    assert 0 < refiner.manifest.metrics["map_14"] <= 1
    assert set(refiner.manifest.thresholds) == {"add", "remove"}
    look = tagger_look(load_bundle(models / "tagger" / "1"), read_folder(library), read_folder(library).photos[:50],
                       tmp_path / "d", lambda done, total: None)  # fmt: skip
    gains = [refiner.scores(v, ["dog"])["dog"] - refiner.scores(v, [])["dog"] for v in look.embedding]
    assert min(gains) >= 0
    assert max(gains) > 0.05
    assert not list((tmp_path / "c").glob("refine-*"))  # a fit that is done leaves no state


def test_without_labels_no_annotation_leaves_a_trace(library: Path, models: Path, tmp_path: Path) -> None:
    code, output = _run(
        library, "--method", "robust-pca", "--out", tmp_path / "mine", "--no-labels", "--model-repository", models,
        "--cache", tmp_path / "c",
    )  # fmt: skip
    assert code == 0, output
    manifest = BatchRefiner.load(tmp_path / "mine").manifest
    assert manifest.thresholds == {}
    assert manifest.metrics["tags_calibrated_on_labels"] == 0
    assert "map_14" not in manifest.metrics


def test_what_cannot_be_done_is_said_in_one_line(library: Path, models: Path, tmp_path: Path) -> None:
    few = flickr.with_tables(tmp_path / "few")
    for words, said in (
        (("--method", "magic"), "no method 'magic'"),
        (("--model", "other"), "has no model 'other'"),
        (("--out", str(tmp_path / "My Refiner")), "a name of a-z"),
        (("--version", "0"), "a whole number"),
        (("--min-photos", "100000"), "no tag is on 100000 photos"),
    ):
        code, output = _run(library, "--model-repository", models, "--cache", tmp_path / "c", *words)
        assert (code, said in output) == (1, True), output
    code, output = _run(few, "--model-repository", models, "--cache", tmp_path / "c")
    assert (code, "too few" in output) == (1, True), output


def test_the_vocabulary_is_the_commonest_tags_on_enough_photos() -> None:
    tags = TagMatrix.from_lists([["a", "b"], ["b", "c"], ["c", "b"], ["d\ne"], ["d\ne"]])
    assert vocabulary(tags, min_photos=2, max_tags=10) == ("b", "c")
    assert vocabulary(tags, min_photos=1, max_tags=1) == ("b",)


def _fitted() -> tuple[FittedModel, Embedded]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    names = ["a", "b"]
    lists = [[name for j, name in enumerate(names) if row[j] + 0.2 * rng.normal() > 0.5] for row in x]
    photos = Embedded(vectors=x, tags=TagMatrix.from_lists(lists, names=names))
    return RobustPca(voters=20, iterations=10).fit(photos, lambda done, total: None), photos


def test_calibrated_scores_are_as_often_right_as_they_say() -> None:
    model, photos = _fitted()
    truth = (photos.vectors[:, :2] > 0.3).astype(np.float32)
    truth[:, 1] = np.nan  # no label says anything of b: it is the owners' own tags that calibrate it
    calibration = refine.calibrate(model, photos, truth)
    assert calibration.labelled.tolist() == [True, False]
    found = refine.calibrated(model.fold_in(photos.vectors, photos.tags), calibration.slope, calibration.offset)
    assert found[:, 0].mean() == pytest.approx(truth[:, 0].mean(), abs=0.02)
    empty = TagMatrix.from_lists([[]] * 600, names=["a", "b"])
    found = refine.calibrated(model.fold_in(photos.vectors, empty), calibration.slope, calibration.offset)
    assert found[:, 1].mean() == pytest.approx(photos.tags.counts()[1] / 600, abs=0.02)


def test_thresholds_are_right_as_often_as_they_promise() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random((4_000, 3)).astype(np.float32)
    truth = rng.random((4_000, 3)) < probabilities
    given = rng.random((4_000, 3)) < 0.3
    found = refine.thresholds(probabilities, given, truth)
    add, remove = found["add"]["0.9"], found["remove"]["0.8"]
    assert add is not None
    assert remove is not None
    assert truth[~given & (probabilities >= add)].mean() >= 0.9
    assert (~truth)[given & (probabilities <= remove)].mean() >= 0.8


def test_without_tags_that_are_given_there_is_nothing_to_remove() -> None:
    found = refine.thresholds(np.ones((30, 1), np.float32), np.zeros((30, 1), bool), np.ones((30, 1), bool))
    assert found["remove"] == {}
    assert found["add"]["0.9"] == 1.0


# The memory measurement


def test_made_up_photos_have_tags_as_uneven_as_peoples() -> None:
    library = made_up(3_000, 200, 16)
    counts = np.sort(library.tags.counts())[::-1]
    assert np.allclose(np.linalg.norm(library.vectors, axis=1), 1, atol=1e-5)
    assert 3 < library.tags.counts().sum() / 3_000 < 7
    assert np.diff(library.tags.indptr).min() == 0
    assert counts[0] > 5 * counts[100]


def test_memory_is_measured_and_drawn_out_as_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowrank, "CACHE_BYTES", lowrank.CACHE_BYTES)  # measure() changes it
    peak = measure("robust-pca", 300, 20, 8, 1)
    assert 0 < peak.before_bytes <= peak.peak_bytes
    slope, offset = line([Peak(n, 0, 5 * n + 7 + (1_000 if n == 1 else 0), 0) for n in (1, 10, 100, 1_000)])
    assert slope == pytest.approx(5)
    assert offset == pytest.approx(7)

"""`tagwright-train refiner`: weights and thresholds by hand, and a folder that becomes a refiner for the server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bundles
import flickr
import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from tagwright_server.inference.bundle import Bundle, load_bundle
from tagwright_server.refinement import artefact
from tagwright_server.refinement.refiner import Refiner
from tagwright_training.dataset import Dataset, Photo
from tagwright_training.prepare import read_folder
from tagwright_training.refinement import fit
from tagwright_training.refinement.corpus import Corpus, normalised
from tagwright_training.refinement.features import TaggerLook

pytestmark = pytest.mark.unit

PHOTOS = 600
OTHERS = ("flower", "people", "sky")  # labels of the small model that nobody types


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of which a third are dogs, half of them tagged so, and nine in ten of those as collies, too."""
    rng = np.random.default_rng(1)
    ids = range(1, PHOTOS + 1)
    dogs = [i for i in ids if i % 3 == 0]
    tags: dict[int, list[str]] = {i: ["nikon"] if i % 2 else ["nikon", "beach"] for i in ids}
    for i in dogs:
        tags[i] += (["puppy"] if rng.random() < 0.5 else []) + (["collie"] if rng.random() < 0.9 else [])
    for i in range(1, 60, 3):
        tags[i].append("dog")
    root = tmp_path_factory.mktemp("library") / "data"
    lists = {"dog": dogs, "dog_r1": dogs, "animals": dogs, **{label: [*range(1, 99, 4)] for label in OTHERS}}
    return flickr.with_tables(root, ids=ids, lists=lists, tags=tags)


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nouns in WordNet's own form: an animal and an object."""
    folder = tmp_path_factory.mktemp("wordnet")
    (folder / "data.noun").write_text(
        "  1 a licence\n00000001 05 n 01 collie 0 000 | a dog\n00000002 17 n 01 beach 0 000 | sand\n"
    )
    (folder / "index.noun").write_text("  1 a licence\nbeach n 1 0 1 1 00000002  \ncollie n 1 0 1 1 00000001  \n")
    return folder


def run(*words: str | Path) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(fit.command)
    result = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "300", "TERM": "dumb"})
    return result.exit_code, result.output


def looking(bundle: Bundle, dataset: Dataset, photos: Sequence[Photo], *_: object) -> TaggerLook:
    """A network to which dogs look alike, and the others."""
    rng = np.random.default_rng(2)
    embedding = rng.normal(0, 0.2, (len(photos), bundle.embedding_size)).astype(np.float32)
    dogs = np.array(["dog" in photo.labels for photo in photos])
    embedding[:, 0] += np.where(dogs, 1.0, -1.0)
    scores = np.full((len(photos), len(bundle.labels)), 0.1, np.float32)
    scores[:, [label.name for label in bundle.labels].index("dog")] = np.where(dogs, 0.9, 0.1)
    return TaggerLook(normalised(embedding), scores)


def test_a_folder_becomes_a_refiner_that_the_server_loads(
    library: Path,
    wordnet: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit, "tagger_look", looking)
    model = bundles.write_bundle(tmp_path_factory.mktemp("models")).path
    code, said = run(library, "--model", model, "--wordnet", wordnet, "--cache", tmp_path / "cache")
    assert code == 0, said
    assert "given tags" in said
    bundle = load_bundle(model)
    made = artefact.load(
        model / artefact.FOLDER,
        model=f"{bundle.name}@{bundle.version}",
        model_digest=bundle.digest,
        embedding_size=bundle.embedding_size,
    )
    corpus = Corpus.of(read_folder(library))
    assert len(made.starter) == len(corpus.part("train", "calibrate"))
    assert made.concepts == {"collie", "beach"}
    assert made.manifest.metrics["typed_share"] == pytest.approx(
        fit.typed_share(corpus, corpus.part("train")), abs=1e-4
    )
    refiner, statistics = Refiner(made), made.starter.statistics()
    assert refiner.visible("collie", statistics)
    assert not refiner.visible("beach", statistics)  # it is a thing, but every other photo has it, whatever it shows
    assert made.manifest.tags_of_label["dog"] == sorted(made.manifest.tags_of_label["dog"])


def test_without_wordnet_one_line_says_so(library: Path, tmp_path: Path) -> None:
    code, said = run(library, "--wordnet", tmp_path / "nowhere", "--cache", tmp_path)
    assert code != 0
    assert "no WordNet there" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("ids", "lists", "why"),
    [(200, {"dog": [1, 2]}, "no annotations for animals"), (60, None, "too few"), (400, None, "can be judged")],
)
def test_a_folder_that_does_not_do_is_one_line(
    tmp_path: Path, wordnet: Path, ids: int, lists: dict[str, list[int]] | None, why: str
) -> None:
    lists = lists or {label: [1, 2, 3] for label in ("dog", "animals", *OTHERS)}
    data = flickr.with_tables(tmp_path / "data", ids=range(1, ids + 1), lists=lists, tags={1: ["dog"]})
    model = bundles.write_bundle(tmp_path).path
    code, said = run(data, "--model", model, "--wordnet", wordnet, "--cache", tmp_path / "cache")
    assert (code, why in said, "Traceback" in said) == (1, True, False), said


def test_the_share_that_owners_type_is_that_of_photos_for_which_it_holds(library: Path) -> None:
    corpus = Corpus.of(read_folder(library))
    rows = np.arange(PHOTOS)
    dogs = [row for row in rows if corpus.labels[row, corpus.label_names.index("dog")]]
    typed = np.mean([bool({"dog", "puppy"} & set(corpus.tags.typed(row))) for row in dogs])
    assert fit.typed_share(corpus, rows) == pytest.approx(typed / 5)  # of the other four labels nobody typed any


def test_a_logistic_regression_finds_the_weights_that_made_its_data() -> None:
    rng = np.random.default_rng(3)
    features = np.column_stack([np.ones(20_000), rng.standard_normal((20_000, 2))])
    true = np.array([-1.0, 2.0, 0.0])
    right = rng.random(20_000) < 1 / (1 + np.exp(-features @ true))
    np.testing.assert_allclose(fit.fit_logistic(features, right, ridge=1e-3), true, atol=0.1)


def test_ridge_holds_all_weights_back_but_the_offset() -> None:
    features = np.column_stack([np.ones(1000), np.repeat([-1.0, 1.0], 500)])
    right = np.repeat([False, True], 500)
    strong, weak = (abs(fit.fit_logistic(features, right, ridge=ridge)[1]) for ridge in (1e4, 1e-2))
    assert strong < 0.1 < weak
    assert fit.fit_logistic(features, np.arange(1000) < 900, ridge=1e9)[0] == pytest.approx(np.log(9), abs=1e-3)


@pytest.mark.parametrize(
    ("precision", "score"),
    [(0.95, None), (0.9, 0.1), (0.8, 0.3), (0.5, 0.8)],
)
def test_removals_are_wrong_as_often_as_their_scores_say(precision: float, score: float | None) -> None:
    # 1 - score, summed from the least on: .9, .8 (.85), .7 (.8), .2 (.65), .1 (.54)
    scores: NDArray[np.float64] = np.array([0.8, 0.1, 0.3, 0.9, 0.2])
    found = fit.removal_threshold(scores, precision)
    expected = {0.5: 0.9}.get(precision, score)
    assert found == (None if expected is None else pytest.approx(expected))


def test_removals_without_a_label_are_counted_and_wrong_ones_weigh_what_they_are_worth() -> None:
    scores = np.linspace(0, 1, 100)
    right = np.arange(100) >= 40  # of those put in all score least
    right[:40:4] = True  # but one in four is right
    assert fit.counted_threshold(scores, right, 0.7, wrong_weight=1.0) == pytest.approx(scores[41], abs=0.005)
    assert fit.counted_threshold(scores, right, 0.7, wrong_weight=0.2) is None
    assert fit.counted_threshold(scores, np.arange(100) >= 10, 0.9, wrong_weight=1.0) is None  # too few


def test_words_are_a_ridge_regression_of_labels_on_tags() -> None:
    tags = np.array([[1, 0], [1, 1], [0, 1], [0, 0]] * 50, np.float32)
    labels = tags[:, :1]
    weights, offsets = fit.fit_words(tags, labels, ridge=1e-3)
    bag = tags / np.sqrt(1 + tags.sum(axis=1, keepdims=True))
    told = bag @ weights + offsets
    assert told[0] > 0.3 > 0 > told[3]
    assert told.mean() == pytest.approx(0, abs=1e-4)  # beyond the share that has the label

"""What refinement is measured on, and how one run treats all its methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwright_server.inference.bundle import Bundle, Label
from tagwright_server.refinement import label_words
from tagwright_server.refinement.artefact import Artefact, Manifest, Thresholds, Weights
from tagwright_server.refinement.evidence import FEATURES
from tagwright_server.refinement.starter import StarterLibrary
from tagwright_training.dataset import Dataset, Photo
from tagwright_training.prepare import part_of
from tagwright_training.refinement import cases, evaluation, served
from tagwright_training.refinement.cases import Case, Folder, Looks
from tagwright_training.refinement.corpus import Corpus, Embedded
from tagwright_training.refinement.evaluation import Context, Entry, Failed, Figures, NetworkAlone, chosen, measure
from tagwright_training.seen import Seen

LABELS = ("dog", "sky")
SIZE = 8  # of an embedding
THRESHOLDS = Thresholds(remove=0.4, remove_without_label=0.4, add=0.55, add_without_label=0.55)


def a_folder(*, photos: int = 200, seed: int = 1, first: int = 1) -> Folder:
    """Photos whose first two numbers say whether dog and sky hold; owners type the word mostly where it does."""
    rng = np.random.default_rng(seed)
    holds = rng.random((photos, 2)) < 0.4
    vectors = np.hstack([holds * 2.0, rng.normal(size=(photos, SIZE - 2)) * 0.3]).astype(np.float32)
    listed = []
    for row in range(photos):
        typed = [
            word for word, held in zip(("dog", "skies"), holds[row], strict=True) if rng.random() < (0.6 * held + 0.1)
        ]
        labels = tuple(name for name, held in zip(LABELS, holds[row], strict=True) if held)
        number = row + first
        listed.append(
            Photo(
                number, None, f"im{number}.jpg", part_of(number, seed=1), labels, tuple({"dog"} & set(labels)),
                (*typed, "nikon", f"w{row % 7}"), f"{number:016x}",
            )
        )  # fmt: skip
    dataset = Dataset(Path("nowhere"), 1, LABELS, ("dog",), tuple(listed))
    scores = np.clip(holds * 0.6 + rng.random((photos, 2)) * 0.35, 0, 1).astype(np.float32)
    return Folder(Corpus.of(dataset), Looks((vectors, vectors * 2), vectors, scores, scores[:, :1]))


def a_case(folder: Folder | None = None) -> Case:
    folder = folder or a_folder()
    library, rows = cases.split(folder.corpus, None, Seen())
    return cases.build(folder, library, folder, rows, LABELS, seed=1)


def a_context(case: Case) -> Context:
    bundle = Bundle(
        name="tagger", version="1", path=Path("nowhere"), preprocessing={}, size=32, embedding_size=SIZE,
        max_batch_size=8, digest="0" * 64, metrics={}, architecture="tiny", canary_scores=(),
        created=datetime(2026, 1, 1, tzinfo=timezone.utc),
        labels=tuple(Label(name, 0.5, {}, 0.5) for name in LABELS),
    )  # fmt: skip
    return Context(bundle, case)


def an_artefact() -> Artefact:
    """A refiner that believes the network alone."""
    weights = Weights(
        with_label=dict.fromkeys(FEATURES, 0.0) | {"network": 1.0},
        without_label=dict.fromkeys(FEATURES, 0.0),
        label_offsets={},
    )
    manifest = Manifest(
        model="tagger@1", model_digest_sha256="0" * 64, digest_sha256="0" * 64, embedding_size=SIZE, neighbours=5,
        created=datetime(2026, 1, 1, tzinfo=timezone.utc), given=weights, missing=weights,
        tags_of_label={"dog": ["dog"], "sky": ["skies", "sky"]}, keep_with_label=0.6, keep_without_label=0.6,
        thresholds=dict.fromkeys(("0.8", "0.9"), THRESHOLDS),
        default_precision="0.9",
        visible_from=0.9, metrics={},
    )  # fmt: skip
    nothing = label_words.to_arrays(["w0"], LABELS, np.zeros((1, len(LABELS))), np.zeros(len(LABELS)))
    words = label_words.from_arrays(nothing, manifest.tags_of_label)
    return Artefact(manifest, StarterLibrary(np.zeros((0, SIZE), np.float32), ()), frozenset(), words)


@dataclass(frozen=True, slots=True)
class Fake:
    """Gives what it is told to, and keeps what it was given."""

    found: Any
    given: list[Embedded]
    name: str = "fake"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> NDArray[np.float32]:
        self.given.append(photos)
        if isinstance(self.found, Exception):
            raise self.found
        return np.asarray(self.found(photos, names), np.float32)


def an_entry(found: Any, given: list[Embedded] | None = None, **settings: Any) -> Entry:
    seen_by_it = [] if given is None else given
    return Entry("fake", "fake", lambda context: Fake(found, seen_by_it), **settings)


def figures_of(entry: Entry, case: Case, column: cases.Column = "with") -> Figures:
    found = measure(entry, column, a_context(case))
    assert isinstance(found, Figures), found
    return found


# Which photos, and what they carry


def test_of_one_folder_the_test_part_is_measured_and_the_rest_votes() -> None:
    corpus = a_folder().corpus
    library, rows = cases.split(corpus, None, Seen())
    assert {corpus.photos[row].split for row in rows} == {"test"}
    assert sorted([*library.tolist(), *rows.tolist()]) == list(range(200))


def test_of_two_folders_photos_of_the_library_and_seen_ones_are_left_out() -> None:
    library = a_folder(photos=50).corpus
    test = a_folder(photos=30, first=41, seed=2).corpus  # ids and bytes 41 to 70: ten are in the library
    seen = Seen(contents=frozenset({test.photos[20].digest}))
    voting, rows = cases.split(library, test, seen)
    assert voting.tolist() == list(range(50))
    assert rows.tolist() == [row for row in range(10, 30) if row != 20]


def test_a_seen_photo_of_the_test_part_is_left_out_too() -> None:
    corpus = a_folder().corpus
    _, rows = cases.split(corpus, None, Seen())
    _, fewer = cases.split(corpus, None, Seen(contents=frozenset({corpus.photos[rows[0]].digest})))
    assert fewer.tolist() == rows.tolist()[1:]


def test_without_labels_no_score_of_the_tagger_is_to_be_seen() -> None:
    case = a_case()
    assert case.library["without"].label_scores is None
    assert case.photos["without"].label_scores is None
    assert case.photos["with"].label_scores is not None
    assert case.photos["without"].vectors.shape[1] == 2 * SIZE  # both ImageNet networks, side by side


def test_tags_are_judged_by_the_label_they_mean() -> None:
    case = a_case()
    for photo, name, wrong in zip(case.typed.photo, case.typed.name, case.typed.wrong, strict=True):
        tag = case.names[name]
        assert tag in case.photos["with"].tags.typed(int(photo))
        assert wrong == (not case.truth[photo, {"dog": 0, "skies": 1}[tag]])
    assert 0 < case.typed.wrong.mean() < 0.5


def test_stress_drops_half_and_swaps_three_in_ten_for_tags_the_owner_did_not_type() -> None:
    lists = [tuple(f"t{(row * 7 + place) % 300}" for place in range(10)) for row in range(500)]
    found = cases.stress(lists, seed=3)
    left = sum(len(tags) for tags in found.lists)
    strangers = sum(len(tags) for tags in found.strangers)
    assert left == pytest.approx(2500, rel=0.05)
    assert strangers == pytest.approx(0.3 * left, rel=0.12)
    for tags, typed, put_in in zip(lists, found.lists, found.strangers, strict=True):
        assert put_in == set(typed) - set(tags)
        own = [tag for tag in typed if tag not in put_in]
        assert own == [tag for tag in tags if tag in own]


def test_the_same_seed_gives_the_same_stress() -> None:
    lists = [("a", "b", "c", "d")] * 40 + [("e", "f")] * 40
    assert cases.stress(lists, seed=1) == cases.stress(lists, seed=1)
    assert cases.stress(lists, seed=1) != cases.stress(lists, seed=2)


def test_under_stress_only_mistakes_that_were_put_in_and_right_tags_of_the_owner_count() -> None:
    case = a_case()
    for photo, name, wrong in zip(case.stress.photo, case.stress.name, case.stress.wrong, strict=True):
        assert wrong == (case.names[name] in case.stressed.strangers[photo])


# One method


def test_a_perfect_method_is_measured_as_perfect() -> None:
    case = a_case()

    def truth(photos: Embedded, names: Sequence[str]) -> NDArray[Any]:
        meant = {"dog": 0, "animal": -1, "sky": 1, "skies": 1}
        once = np.stack([case.truth[:, meant.get(name, 0)] for name in names], axis=1)
        return np.tile(once, (2, 1))

    found = figures_of(an_entry(truth, probabilities=True), case)
    assert found.concepts_14 is not None
    assert found.concepts_14.mean_average_precision.value == pytest.approx(1)
    assert found.concepts_24.image_none_out.value == pytest.approx(1)
    assert found.concepts_24.image_none_zero.value == pytest.approx(case.truth.any(axis=1).mean())
    assert found.removal["0.9"].value == 1
    assert found.stress is not None
    assert found.stress.roc_area == 1


def test_a_method_scores_photos_as_typed_and_stressed_at_once() -> None:
    case, given = a_case(), list[Embedded]()
    figures_of(an_entry(lambda photos, names: np.zeros((len(photos.vectors), len(names))), given), case)
    [photos] = given
    assert [photos.tags.typed(case.size + row) for row in range(case.size)] == list(case.stressed.lists)
    assert photos.label_scores is not None
    assert len(photos.label_scores) == 2 * case.size


def test_a_joint_method_never_sees_a_photo_twice() -> None:
    case, given = a_case(), list[Embedded]()
    entry = an_entry(lambda photos, names: np.zeros((len(photos.vectors), len(names))), given, jointly=True)
    assert figures_of(entry, case).stress is None
    assert len(given[0].vectors) == case.size


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (RuntimeError("no memory"), "RuntimeError: no memory"),
        (lambda photos, names: np.zeros((2, 2)), "ValueError: scores of shape"),
        (lambda photos, names: np.full((len(photos.vectors), len(names)), np.nan), "not finite"),
    ],
)
def test_what_goes_wrong_in_a_method_is_told_and_no_more(found: Any, told: str) -> None:
    failed = measure(an_entry(found), "without", a_context(a_case()))
    assert isinstance(failed, Failed)
    assert told in failed.error


def test_tags_of_different_scales_are_compared_in_deviations() -> None:
    case = a_case()

    def uneven(photos: Embedded, names: Sequence[str]) -> NDArray[Any]:
        once = np.stack([case.truth[:, 0] * 1000.0 + 5000, case.truth[:, 1] * 0.001], axis=1)
        return np.tile(once[:, [0 if "dog" in name else 1 for name in names]], (2, 1))

    assert figures_of(an_entry(uneven), case).removal["0.9"].value == 1


def test_where_no_tag_is_wrong_there_is_no_recall() -> None:
    case = a_case()
    case = replace(case, typed=replace(case.typed, wrong=np.zeros(len(case.typed.wrong), bool)))
    found = figures_of(an_entry(lambda photos, names: np.ones((len(photos.vectors), len(names)))), case)
    assert np.isnan(found.removal["0.9"].value)


def test_the_network_alone_scores_every_word_for_a_label() -> None:
    photos = a_case().photos["with"]
    assert photos.label_scores is not None
    found = NetworkAlone().scores(photos, photos, ["skies", "dog", "nikon"])
    assert np.array_equal(found[:, :2], photos.label_scores[:, ::-1])
    assert not found[:, 2].any()


# All methods


def test_every_method_there_is_can_be_loaded() -> None:
    context = a_context(a_case())
    for entry in chosen(None):
        if entry.key not in ("online", "online-strict"):  # they need a refiner beside the model
            assert entry.load(context).name


def test_every_baseline_runs_in_every_column() -> None:
    context = a_context(a_case())
    for entry in chosen(
        ["user-tags", "frequency", "cooccur", "cooccur-plus", "knn", "vote", "probe", "words", "network"]
    ):
        for column in entry.columns:
            assert isinstance(measure(entry, column, context), Figures), entry.key


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no method nonsense; there are user-tags, "):
        chosen(["vote", "nonsense"])


def test_keys_of_methods_are_told_apart() -> None:
    keys = [entry.key for entry in evaluation.ENTRIES]
    assert len(set(keys)) == len(keys)


# The served refiner


def test_decisions_are_counted_against_the_labels() -> None:
    case = a_case()
    found = served.measure(an_artefact(), case)
    target = next(target for target in found.targets if target.precision == "0.9")
    assert target.removed.holds == case.typed.wrong.sum()
    assert target.removed.said > 0
    assert target.removed.precision == 1  # the scores of absent labels are below .35, of those that hold above .6
    assert target.removed.recall == 1
    assert target.right.removed == 0
    assert target.added.precision == 1
    assert target.added.recall == 1
    assert target.invisible.tags > case.size
    assert target.invisible.removed == 0


def test_under_stress_strangers_go_and_right_tags_stay() -> None:
    stress = served.measure(an_artefact(), a_case()).stress
    assert stress.strangers.tags > 0
    assert stress.strangers.removed_share == 1
    assert stress.right.tags > stress.strangers.tags
    assert stress.right.removed == 0


def test_shares_of_nothing_do_not_exist() -> None:
    assert np.isnan(served.Removals(0, 0, 0).removed_share)
    assert np.isnan(served.Removals(0, 0, 0).touched_share)

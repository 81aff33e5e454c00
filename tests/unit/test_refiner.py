"""Decisions and their reasons, with weights and a library made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwright_server.errors import ArgumentInvalid
from tagwright_server.refinement.artefact import Artefact, Manifest, Thresholds, Weights
from tagwright_server.refinement.evidence import FEATURES, gather
from tagwright_server.refinement.label_words import LabelWords
from tagwright_server.refinement.records import (
    NOBODY,
    Decision,
    Neighbours,
    Photo,
    ReasonKind,
    RefineOptions,
    TagDecision,
)
from tagwright_server.refinement.refiner import Refiner
from tagwright_server.refinement.starter import StarterLibrary
from tagwright_server.refinement.statistics import TagStatistics

Vectors = NDArray[np.float32]
RNG = np.random.default_rng(1)
SKIES, DOGS = (np.eye(8, dtype=np.float32)[at] for at in (0, 1))
ALL = {"remove": 0.2, "remove_without_label": 0.2, "add": 0.8, "add_without_label": 0.8}
NOTHING = LabelWords({}, {}, {}, np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
WORDS = LabelWords(
    {"dog": "dog", "dogs": "dog", "cloud": "clouds", "clouds": "clouds"},
    {"collie": 0, "dogs": 1, "sky": 2},
    {"dog": 0, "clouds": 1},
    np.array([[2, 0], [1, 0], [0, 3]], np.float32),
    np.array([-0.5, -1.0], np.float32),
)


def near(where: Vectors, count: int) -> Vectors:
    found = where + 0.15 * RNG.standard_normal((count, 8))
    normalised: Vectors = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return normalised


VECTORS = np.concatenate([near(SKIES, 60), near(DOGS, 60)])
TAGS = [["sky", "beach", *(["nikon"] if at % 3 else [])] for at in range(60)] + [
    ["dog", "collie", *(["nikon"] if at % 3 else [])] for at in range(60)
]
STATISTICS = TagStatistics.of(8, lambda: [(VECTORS, TAGS)])
LIBRARY = StarterLibrary(VECTORS, tuple(map(tuple, TAGS)))


def weights(**said: float) -> dict[str, float]:
    return dict.fromkeys(FEATURES, 0.0) | said


def refiner() -> Refiner:
    unaided = weights(votes=1.0, probe=1.0)
    both = Weights(with_label=weights(network=1.0), without_label=unaided, label_offsets={"dog": 0.0})
    manifest = Manifest(
        model="tagger@1",
        model_digest_sha256="0" * 64,
        digest_sha256="0" * 64,
        created=datetime(2026, 1, 1, tzinfo=timezone.utc),
        embedding_size=8,
        neighbours=20,
        given=both,
        missing=both,
        tags_of_label={"dog": ["dog", "dogs"], "clouds": ["cloud", "clouds"]},
        keep_with_label=0.6,
        keep_without_label=0.6,
        thresholds={
            "0.8": Thresholds(**ALL),
            "0.95": Thresholds(remove=None, remove_without_label=None, add=None, add_without_label=None),
        },
        default_precision="0.8",
        visible_from=0.3,  # half of the photos have it: one deviation is all that there can be
        metrics={},
    )
    return Refiner(Artefact(manifest, LIBRARY, frozenset({"sky", "beach", "collie", "rock"}), WORDS))


def photo(*tags: str, like: Vectors = SKIES, **scores: float) -> Photo:
    return Photo(like, {"dog": 0.01, "clouds": 0.5} | scores, tags)


def decided(
    asked: Photo, options: RefineOptions | None = None, library: Neighbours | None = None
) -> dict[str, TagDecision]:
    neighbours = LIBRARY.neighbours(asked.embedding, 20) if library is None else library
    found = refiner().refine(asked, neighbours, STATISTICS, options or RefineOptions())
    assert len({decision.name for decision in found}) == len(found)
    return {decision.name: decision for decision in found}


def test_what_fits_is_kept_what_does_not_is_removed_and_what_is_missing_is_added() -> None:
    found = decided(photo("sky", "collie"))
    assert {name: each.decision for name, each in found.items()} == {
        "sky": Decision.KEEP,
        "collie": Decision.REMOVE,
        "beach": Decision.ADD,
    }
    assert list(found) == ["sky", "collie", "beach"]


def test_the_networks_label_speaks_for_every_tag_that_means_it() -> None:
    for score, decision in ((0.99, Decision.KEEP), (0.4, Decision.UNSURE), (0.01, Decision.REMOVE)):
        assert decided(photo("dogs", dog=score))["dogs"].decision is decision
        assert decided(photo("dogs", dog=score))["dogs"].score == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize("tag", ["nikon", "2008", "macromondays", "grandma", "\U0001f600", "x" * 128])
def test_what_cannot_be_seen_is_never_removed_and_never_added(tag: str) -> None:
    found = decided(photo(tag, "sky"))[tag]
    assert (found.decision, found.score) == (Decision.UNSURE, None)
    assert [reason.kind for reason in found.reasons] == [ReasonKind.NOT_VISIBLE]
    assert tag not in decided(photo("sky"), RefineOptions(min_score=0.0))


def test_the_word_of_a_thing_that_few_photos_have_is_left_alone() -> None:
    assert decided(photo("rock"))["rock"].decision is Decision.UNSURE


def test_what_a_person_decided_stays_decided() -> None:
    asked = replace(photo("collie", "sky"), confirmed=frozenset({"collie"}), rejected=frozenset({"beach", "sky"}))
    found = decided(asked)
    assert found["collie"].decision is Decision.KEEP
    assert found["collie"].reasons[0].kind is ReasonKind.REVIEW
    assert found["sky"].decision is Decision.REMOVE
    assert "beach" not in found


def test_one_word_for_one_thing() -> None:
    assert "dog" in decided(photo("sky", dog=0.99))
    assert "dog" not in decided(photo("dogs", dog=0.99))
    assert "dogs" not in decided(photo("sky", dog=0.99))


def test_a_parent_by_rule_comes_with_what_a_person_confirmed() -> None:
    options = RefineOptions(parents={"collie": ("dog",), "dog": ("animal",)})
    found = decided(replace(photo("collie"), confirmed=frozenset({"collie"})), options)
    for parent, child in (("dog", "collie"), ("animal", "dog")):
        assert found[parent].decision is Decision.ADD
        assert (found[parent].reasons[0].kind, found[parent].reasons[0].tags) == (ReasonKind.RULE, (child,))
    assert "dog" not in decided(photo("collie"), options)


def test_a_parent_by_rule_is_at_least_as_likely_as_its_child() -> None:
    options = RefineOptions(parents={"dog": ("animal",), "animal": ("being",)})
    found = decided(photo(dog=0.97), options)
    for parent, child in (("animal", "dog"), ("being", "animal")):
        assert found[parent].decision is Decision.ADD
        assert found[parent].score == found["dog"].score
        assert (found[parent].reasons[0].kind, found[parent].reasons[0].tags) == (ReasonKind.RULE, (child,))
    assert decided(photo("animal", dog=0.97), options)["animal"].decision is Decision.KEEP
    assert "animal" not in decided(photo(dog=0.5), options)
    assert "animal" not in decided(replace(photo(dog=0.97), rejected=frozenset({"animal"})), options)
    assert "animal" not in decided(photo(dog=0.97), replace(options, exclude=frozenset({"animal"})))


def test_nothing_follows_from_what_cannot_be_seen() -> None:
    found = decided(photo("nikon"), RefineOptions(parents={"nikon": ("camera",)}, include=("camera",)))
    assert found["camera"].decision is Decision.UNSURE
    assert ReasonKind.RULE not in {reason.kind for reason in found["camera"].reasons}


def test_a_rule_never_speaks_against_what_cannot_be_seen() -> None:
    options = RefineOptions(parents={"dog": ("france",)})
    for score, decision in ((0.97, Decision.KEEP), (0.1, Decision.UNSURE)):
        found = decided(photo("france", dog=score), options)["france"]
        assert found.decision is decision
        assert (found.score is None) == (decision is Decision.UNSURE)


def test_what_is_asked_for_comes_first_and_has_no_score_where_it_cannot_be_judged() -> None:
    include = ("nikon", "dog", "qwertyuiop")
    found = decided(photo(dog=0.4), RefineOptions(include=include, max_tags=3))
    assert found.keys() == set(include)
    assert (found["dog"].decision, found["nikon"].score, found["qwertyuiop"].score) == (Decision.UNSURE, None, None)
    for name in ("nikon", "qwertyuiop"):
        assert [reason.kind for reason in found[name].reasons] == [ReasonKind.NOT_VISIBLE]


def test_no_number_of_photos_is_told_beyond_votes() -> None:
    for tag in ("nikon", "unheard of", "rock"):
        assert not any(each.isdigit() for each in decided(photo(tag, "sky"))[tag].reasons[0].text.split("(")[0])


def test_options_narrow_what_is_added_and_name_what_is_judged() -> None:
    assert "beach" not in decided(photo(), RefineOptions(exclude=frozenset({"beach"})))
    assert len(decided(photo(dog=0.99), RefineOptions(max_tags=1))) == 1
    assert decided(photo(), RefineOptions(include=("dog",)))["dog"].decision is Decision.UNSURE
    assert decided(photo(), RefineOptions(min_score=1.0)) == {}


def test_thresholds_are_those_of_the_target_precision() -> None:
    found = decided(photo("sky", "collie"), RefineOptions(target_precision=float(np.float32(0.95))))
    assert {name: each.decision for name, each in found.items()} == {"sky": Decision.KEEP, "collie": Decision.UNSURE}
    with pytest.raises(ArgumentInvalid, match=r"it has them for: 0\.8, 0\.95"):
        decided(photo(), RefineOptions(target_precision=0.85))


def test_a_library_of_nobody_and_no_tags_are_answered() -> None:
    found = refiner().refine(photo("sky", "nikon"), NOBODY, TagStatistics(8))
    assert [(each.name, each.decision) for each in found] == [("sky", Decision.UNSURE), ("nikon", Decision.UNSURE)]
    assert [each.name for each in refiner().refine(photo(dog=0.99), NOBODY, TagStatistics(8))] == ["dog"]


def test_two_hundred_tags_are_answered_in_their_order() -> None:
    tags = [f"tag{at}" for at in range(198)] + ["sky", "nikon"]
    assert list(decided(photo(*tags)))[:200] == tags


def test_reasons_say_who_votes_and_how_many_chance_would_give() -> None:
    own = LIBRARY.neighbours(SKIES, 20)
    own = replace(own, ids=tuple(f"photo{at}" for at in range(20)))
    [reason] = [
        each for each in decided(photo("sky"), library=own)["sky"].reasons if each.kind is ReasonKind.NEIGHBOURS
    ]
    assert reason.text.startswith("20 of the 20 photos that look most alike have it; chance gives 10")
    assert reason.image_ids == own.ids
    assert reason.value > 2


def test_an_authors_many_photos_are_one_vote() -> None:
    votes = LIBRARY.neighbours(SKIES, 10)
    one = replace(votes, authors=("ada",) * 5 + ("",) * 5).merged(NOBODY, 10)
    assert len(one) == 6
    assert one.authors == ("ada",) + ("",) * 5
    assert one.similarities[0] == votes.similarities[0]


def test_a_photo_does_not_vote_for_itself() -> None:
    votes = replace(LIBRARY.neighbours(SKIES, 3), ids=("a", "b", "c"))
    assert votes.without("b").ids == ("a", "c")
    assert votes.without("x") is votes


def test_votes_are_tag_votes_count_less_what_chance_gives() -> None:
    votes = Neighbours(
        np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.ones(4, np.float32), ("",) * 4, ("",) * 4,
        (("sky",), ("sky", "beach"), ("dog",), ()),
    )  # fmt: skip
    found = gather(photo(), votes, STATISTICS, ["sky", "dog", "cat"], NOTHING)
    prior = np.array([60.5, 60.5, 0.5]) / 121
    assert found.votes.tolist() == [2.0, 1.0, 0.0]
    assert np.allclose(found.expected, 4 * prior)
    assert np.allclose(found.vote_z, (found.votes - 4 * prior) / np.sqrt(4 * prior * (1 - prior) + 1))


def test_what_other_tags_say_leaves_the_tag_itself_out() -> None:
    alone = gather(photo("sky"), NOBODY, STATISTICS, ["sky", "beach", "dog"], NOTHING).others
    assert alone[0] == pytest.approx(0.0, abs=0.05)  # nothing else was said
    assert alone[1] > 1 > 0 > alone[2]
    both = gather(photo("sky", "beach"), NOBODY, STATISTICS, ["sky"], NOTHING).others
    assert both[0] > 1


def test_the_starter_library_weighs_less_the_more_photos_there_are() -> None:
    young, old = (LIBRARY.neighbours(SKIES, 3, own_photos=photos) for photos in (0, 20_000))
    assert young.weights.tolist() == [1.0] * 3
    assert old.weights.tolist() == pytest.approx([0.2] * 3)
    assert young.similarities.tolist() == sorted(young.similarities.tolist(), reverse=True)


def test_words_tell_of_labels_but_never_a_tag_of_itself() -> None:
    asked = photo("collie", "dogs", "unheard of")
    found = gather(asked, NOBODY, STATISTICS, ["dog", "dogs", "clouds", "beach"], WORDS).words
    assert found == pytest.approx([3 / np.sqrt(3) - 0.5, 2 / np.sqrt(2) - 0.5, -1.0, 0.0])

"""Which of a network's scores become tags, in which order, and what is said about them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwright_server.domain.tags import TaggingOptions, check_options, choose_tags, precisions
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.inference.bundle import Bundle, Label

#                 name       default  thresholds by precision
LABELS = (
    Label("sky", 0.40, {"0.5": 0.20, "0.9": 0.70}, 0.8),
    Label("dog", 0.60, {"0.5": 0.30, "0.9": None}, 0.7),
    Label("car", 0.50, {"0.5": 0.25, "0.9": 0.95}, 0.6),
    Label("baby", 0.30, {"0.5": 0.10, "0.9": 0.80}, 0.5),
)
NAMES = [label.name for label in LABELS]
MODEL = Bundle(
    name="tagger",
    version="1",
    path=Path(),
    labels=LABELS,
    preprocessing={},
    size=32,
    embedding_size=8,
    max_batch_size=8,
    digest="0" * 64,
    metrics={},
    architecture="none",
    created=datetime(2026, 1, 1, tzinfo=timezone.utc),
    canary_scores=(0.5,) * 4,
)


def _choose(scores: dict[str, float], options: TaggingOptions) -> list[str]:
    check_options(MODEL, options)
    ordered = np.array([scores.get(name, 0.0) for name in NAMES], dtype=np.float32)
    return [tag.name for tag in choose_tags(MODEL, ordered, options)]


def test_each_label_counts_from_its_own_threshold_on() -> None:
    assert _choose({"sky": 0.40, "dog": 0.59, "car": 0.51, "baby": 0.29}, TaggingOptions()) == ["car", "sky"]


def test_a_smallest_score_replaces_the_labels_thresholds() -> None:
    scores = {"sky": 0.5, "dog": 0.5, "car": 0.49, "baby": 0.51}
    assert _choose(scores, TaggingOptions(min_score=0.5)) == ["baby", "dog", "sky"]


def test_a_smallest_score_of_zero_gives_every_label() -> None:
    assert sorted(_choose({}, TaggingOptions(min_score=0.0))) == sorted(NAMES)


def test_a_precision_chooses_the_thresholds_fitted_for_it_and_leaves_out_who_never_reaches_it() -> None:
    scores = {"sky": 0.70, "dog": 1.0, "car": 0.94, "baby": 0.80}
    assert _choose(scores, TaggingOptions(target_precision=0.9)) == ["baby", "sky"]
    assert _choose(scores, TaggingOptions(target_precision=0.5)) == ["dog", "car", "baby", "sky"]


def test_a_precision_may_come_as_the_nearest_float32() -> None:
    assert _choose({"sky": 0.9}, TaggingOptions(target_precision=float(np.float32(0.9)))) == ["sky"]


def test_a_threshold_read_from_a_list_and_sent_back_as_float32_gives_the_same_tags() -> None:
    threshold = float(np.float32(0.7))
    assert threshold != 0.7
    assert _choose({"sky": 0.7}, TaggingOptions(min_score=threshold)) == ["sky"]
    assert _choose({"sky": 0.7}, TaggingOptions(target_precision=0.9)) == ["sky"]


def test_included_tags_come_whatever_their_score() -> None:
    assert _choose({"sky": 0.9}, TaggingOptions(include_tags=("dog", "car"))) == ["sky", "car", "dog"]
    assert _choose({"dog": 1.0}, TaggingOptions(include_tags=("dog",), target_precision=0.9)) == ["dog"]


def test_excluded_tags_never_come_even_where_they_are_included() -> None:
    options = TaggingOptions(min_score=0.0, include_tags=("dog",), exclude_tags=("dog", "sky", "unicorn"))
    assert _choose({"sky": 0.9, "dog": 0.9}, options) == ["baby", "car"]


def test_at_most_so_many_tags_come_the_best_ones() -> None:
    scores = {"sky": 0.9, "dog": 0.8, "car": 0.7, "baby": 0.6}
    assert _choose(scores, TaggingOptions(max_tags=2)) == ["sky", "dog"]
    assert _choose(scores, TaggingOptions(max_tags=100)) == ["sky", "dog", "car", "baby"]


def test_included_tags_take_places_of_the_most_and_are_ordered_like_the_others() -> None:
    scores = {"sky": 0.9, "dog": 0.8, "car": 0.7, "baby": 0.1}
    assert _choose(scores, TaggingOptions(max_tags=2, include_tags=("baby",))) == ["sky", "baby"]
    assert _choose(scores, TaggingOptions(max_tags=1, include_tags=("baby", "car"))) == ["car"]


def test_equal_scores_are_ordered_by_name() -> None:
    assert _choose(dict.fromkeys(NAMES, 0.9), TaggingOptions()) == sorted(NAMES)
    assert _choose(dict.fromkeys(NAMES, 0.9), TaggingOptions(max_tags=2)) == sorted(NAMES)[:2]


def test_evidence_is_there_only_when_asked_for_and_says_what_the_score_was_held_against() -> None:
    scores = np.array([0.9, 0.1, 0.0, 0.0], dtype=np.float32)
    (bare,) = choose_tags(MODEL, scores, TaggingOptions())
    assert bare.evidence == ()
    sky, dog = choose_tags(MODEL, scores, TaggingOptions(include_tags=("dog",), include_evidence=True))
    assert sky.evidence[0].value == pytest.approx(0.9)
    assert sky.evidence[0].threshold == pytest.approx(0.4)
    assert sky.evidence[0].text == "the model gives 0.900, this label's threshold is 0.400"
    assert dog.evidence[0].text == (
        "the model gives 0.100, below this label's threshold, 0.600, but the request names it"
    )


def test_evidence_names_the_threshold_that_the_request_chose() -> None:
    scores = np.array([0.9, 0.9, 0.0, 0.0], dtype=np.float32)
    options = TaggingOptions(target_precision=0.9, include_tags=("dog",), include_evidence=True)
    dog, sky = choose_tags(MODEL, scores, options)
    assert dog.evidence[0].threshold is None
    assert sky.evidence[0].threshold == pytest.approx(0.7)
    assert "no score of this label reaches precision 0.9" in dog.evidence[0].text
    assert "the threshold for precision 0.9 is 0.700" in sky.evidence[0].text
    chosen = choose_tags(MODEL, scores, TaggingOptions(min_score=0.25, include_evidence=True))
    assert "the smallest score asked for is 0.250" in chosen[0].evidence[0].text


def test_the_precisions_of_a_model_are_listed_ascending() -> None:
    assert precisions(MODEL) == ["0.5", "0.9"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (TaggingOptions(min_score=float("nan")), "options.min_score"),
        (TaggingOptions(min_score=-1e-9), "options.min_score"),
        (TaggingOptions(min_score=1.0000001), "options.min_score"),
        (TaggingOptions(max_tags=-1), "options.max_tags"),
        (TaggingOptions(min_score=0.5, target_precision=0.9), "options.target_precision"),
        (TaggingOptions(target_precision=0.89), "options.target_precision"),
        (TaggingOptions(target_precision=float("nan")), "options.target_precision"),
        (TaggingOptions(include_tags=("sky", "Sky")), "options.include_tags[1]"),
        (TaggingOptions(include_tags=("sky",) * 257), "options.include_tags"),
        (TaggingOptions(exclude_tags=("x",) * 257), "options.exclude_tags"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: TaggingOptions, field: str) -> None:
    with pytest.raises(ArgumentInvalid) as caught:
        check_options(MODEL, options)
    assert caught.value.field == field


def test_options_at_their_limits_are_taken() -> None:
    names = ("sky",) * 256
    check_options(MODEL, TaggingOptions(min_score=0.0, include_tags=names, exclude_tags=names))
    check_options(MODEL, TaggingOptions(min_score=1.0, max_tags=2**31 - 1))


_scores = st.lists(st.floats(0, 1, width=32), min_size=len(NAMES), max_size=len(NAMES))
_names = st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)
_options = st.builds(
    TaggingOptions,
    min_score=st.none() | st.floats(0, 1),
    max_tags=st.integers(0, 5),
    include_tags=_names,
    exclude_tags=_names,
    include_evidence=st.booleans(),
)


@given(_scores, _options)
def test_whatever_the_scores_what_comes_keeps_the_rules(scores: list[float], options: TaggingOptions) -> None:
    tags = choose_tags(MODEL, np.array(scores, dtype=np.float32), options)
    by_name = dict(zip(NAMES, scores, strict=True))
    assert [(-tag.score, tag.name) for tag in tags] == sorted((-tag.score, tag.name) for tag in tags)
    assert len({tag.name for tag in tags}) == len(tags)
    assert not {tag.name for tag in tags} & set(options.exclude_tags)
    assert not options.max_tags or len(tags) <= options.max_tags
    for tag in tags:
        assert tag.score == np.float32(by_name[tag.name])
        if tag.name not in options.include_tags and options.min_score is not None:
            assert tag.score >= np.float32(options.min_score)
    wanted = set(options.include_tags) - set(options.exclude_tags)
    if not options.max_tags or len(wanted) <= options.max_tags:
        assert wanted <= {tag.name for tag in tags}

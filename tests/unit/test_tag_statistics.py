"""What a library tells of its tags: the same whether photos come one by one or at once, and as if one had not come."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tagwright_server.refinement.statistics import Seen, TagStatistics

NAMES = ("sky", "dog", "cat", "2008", "rare")
TAGS = st.lists(st.sampled_from(NAMES), max_size=6)
LIBRARIES = st.lists(TAGS, min_size=1, max_size=12)


def vectors(count: int, size: int = 6, seed: int = 0) -> NDArray[np.float32]:
    """Some photos, L2-normalised."""
    found = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    normalised: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return normalised


def filled(tags: Sequence[Sequence[str]], *, min_photos: int = 1) -> TagStatistics:
    return TagStatistics.of(6, lambda: [(vectors(len(tags)), tags)], min_photos=min_photos)


def assert_same(one: TagStatistics, other: TagStatistics) -> None:
    assert one.photos == other.photos
    assert one.counts(NAMES).tolist() == other.counts(NAMES).tolist()
    assert one.cooccurrences(NAMES, NAMES).tolist() == other.cooccurrences(NAMES, NAMES).tolist()
    assert np.allclose(one.probe(vectors(3, seed=9), NAMES), other.probe(vectors(3, seed=9), NAMES), atol=1e-3)


@given(LIBRARIES)
def test_one_by_one_is_all_at_once(tags: list[list[str]]) -> None:
    slowly = TagStatistics(6, min_photos=1)
    for vector, mine in zip(vectors(len(tags)), tags, strict=True):
        slowly.add(vector, mine)
    slowly.admit(slowly.wanted(), [(vectors(len(tags)), tags)])
    assert_same(slowly, filled(tags))


@given(st.lists(st.tuples(TAGS, st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_whatever_comes_and_goes_columns_know_of_every_photo_that_is_there(
    steps: list[tuple[list[str], bool, bool]],
) -> None:
    found, photos = TagStatistics(6, min_photos=3), vectors(len(steps))
    here: dict[int, list[str]] = {}
    for at, (tags, goes, admits) in enumerate(steps):
        if goes and here:
            row = min(here)
            found.remove(photos[row], here.pop(row))
        found.add(photos[at], tags)
        here[at] = tags
        if admits:
            found.admit(found.wanted(), [(photos[[*here]], list(here.values()))])
    found.admit(found.wanted(), [(photos[[*here]], list(here.values()))])
    right = TagStatistics.of(6, lambda: [(photos[[*here]], list(here.values()))], min_photos=3)
    assert [found.known(name) for name in NAMES] == [right.known(name) for name in NAMES]
    assert found.counts(NAMES).tolist() == right.counts(NAMES).tolist()
    assert found.cooccurrences(NAMES, NAMES).tolist() == right.cooccurrences(NAMES, NAMES).tolist()
    ask = vectors(3, seed=9)
    found.admit(found.wanted(), [])
    assert np.allclose(fresh(found).probe(ask, NAMES), fresh(right).probe(ask, NAMES), atol=1e-2)


def fresh(statistics: TagStatistics) -> TagStatistics:
    """The same with its probes solved anew."""
    statistics._probes = None
    return statistics


@given(LIBRARIES, st.lists(st.sampled_from(NAMES), max_size=6))
def test_what_was_taken_out_has_never_been_there(tags: list[list[str]], more: list[str]) -> None:
    found = filled(tags)
    vector = vectors(1, seed=5)[0]
    found.add(vector, more)
    found.remove(vector, more)
    assert_same(found, filled(tags))


def test_counts_are_of_photos_however_often_one_names_a_tag() -> None:
    found = filled([["sky", "sky", "dog"], ["sky"], []])
    assert found.photos == 3
    assert found.counts(["sky", "dog", "unknown"]).tolist() == [2, 1, 0]
    assert found.cooccurrences(["sky", "unknown"], ["dog", "sky"]).tolist() == [[1, 2], [0, 0]]


def test_a_tag_of_few_photos_says_nothing() -> None:
    found = filled([["sky", "rare"], ["sky"], ["sky"]], min_photos=3)
    assert found.known("sky")
    assert not found.known("rare")
    assert found.count("rare") == 1
    assert found.probe(vectors(2), ["rare"]).tolist() == [[0.0], [0.0]]
    assert math.isnan(found.visualness("rare"))


def test_a_tag_that_enough_photos_have_waits_for_its_column() -> None:
    found = filled([["sky"], ["sky"]], min_photos=3)
    assert found.wanted() == []
    found.add(vectors(1)[0], ["sky"])
    assert (found.known("sky"), found.wanted()) == (False, ["sky"])
    found.admit(["sky"], [(vectors(3), [["sky"]] * 3)])
    assert (found.known("sky"), found.wanted()) == (True, [])


def test_the_probe_is_ridge_regression_in_deviations_from_the_mean_over_the_library() -> None:
    tags = [["sky"] if vector[0] > 0.2 else ["dog"] for vector in vectors(200)]
    found = filled(tags)
    scores = found.probe(vectors(200), ["sky"])[:, 0].astype(np.float64)
    assert scores.mean() == pytest.approx(0.0, abs=1e-3)
    assert scores.std() == pytest.approx(1.0, abs=1e-3)
    x = vectors(200).astype(np.float64)
    x -= x.mean(axis=0)
    y = np.array([tag == ["sky"] for tag in tags], np.float64)
    ridge = 0.03 * np.trace(x.T @ x) / 6
    by_hand = x @ np.linalg.solve(x.T @ x + ridge * np.eye(6), x.T @ (y - y.mean()))
    assert np.corrcoef(scores, by_hand)[0, 1] == pytest.approx(1.0, abs=1e-5)


def test_a_tag_that_goes_with_the_look_is_visible_and_one_by_chance_is_not() -> None:
    rng = np.random.default_rng(3)
    photos = vectors(2000)
    tags = [["sky"] * bool(photo[0] > 0.4) + ["2008"] * bool(rng.random() < 0.2) for photo in photos]
    found = TagStatistics.of(6, lambda: [(photos, tags)])
    assert found.visualness("sky") > 0.6
    assert found.visualness("2008") < 0.15


def test_an_empty_library_knows_nothing() -> None:
    found = TagStatistics(6)
    assert found.photos == 0
    assert found.probe(vectors(2), ["sky"]).tolist() == [[0.0], [0.0]]
    assert math.isnan(found.visualness("sky"))


def test_columns_are_those_of_the_commonest_tags_and_rare_ones_make_room() -> None:
    tags = [["a", "b"], ["a", "b"], ["a", "c"], ["a"]]
    found = TagStatistics.of(6, lambda: [(vectors(4), tags)], min_photos=1, most_columns=2)
    assert [found.known(tag) for tag in "abc"] == [True, True, False]
    assert found.count("c") == 1
    for _ in range(3):
        found.add(vectors(1)[0], ["c"])
    assert found.wanted() == ["c"]
    found.admit(["c"], [(np.vstack([vectors(4), vectors(3)]), [*tags, ["c"], ["c"], ["c"]])])
    assert [found.known(tag) for tag in "abc"] == [True, False, True]
    assert found.cooccurrences(["c"], ["a", "b", "c"]).tolist() == [[1, 0, 4]]
    assert found.wanted() == []


def test_a_tag_that_few_photos_still_have_gives_its_column_up() -> None:
    found = filled([["sky"], ["sky"], ["dog"]], min_photos=2)
    found.remove(vectors(3)[0], ["sky"])
    assert found.wanted() == []
    assert not found.known("sky")


def test_who_sees_too_few_photos_with_a_tag_is_told_nothing_of_it() -> None:
    found = filled([["sky", "hydra"]] * 5 + [["sky"]] * 5, min_photos=3)
    mine = {"sky": 4, "hydra": 2}
    seen = Seen(found, lambda tag: mine.get(tag, 0))
    assert (seen.known("sky"), seen.known("hydra")) == (True, False)
    assert (seen.count("sky"), seen.count("hydra")) == (4, 2)
    assert seen.counts(["sky", "hydra", "nobody"]).tolist() == [10, 2, 0]
    assert seen.cooccurrences(["sky", "hydra"], ["sky", "hydra"]).tolist() == [[10, 0], [0, 0]]
    assert seen.probe(vectors(1), ["hydra"]).tolist() == [[0.0]]
    assert math.isnan(seen.visualness("hydra"))
    assert seen.visualness("sky") == found.visualness("sky")

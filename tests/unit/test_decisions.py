"""What becomes of a photo's tags: what a person decided outlives every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from tagwright_server.domain.decisions import (
    Change,
    Refined,
    Review,
    Seen,
    difference,
    given,
    refined,
    reviewed,
    tagged,
)
from tagwright_server.errors import ArgumentInvalid, NotFound
from tagwright_server.store.image_records import ImageTag, TagChange, TagSource, TagState

SUGGESTED, CONFIRMED, REJECTED = TagState.SUGGESTED, TagState.CONFIRMED, TagState.REJECTED
USER, MODEL, IMPORT, REFINEMENT = TagSource.USER, TagSource.MODEL, TagSource.IMPORT, TagSource.REFINEMENT
NAMES = ("animals", "dog", "sky", "collie")
TAGS = st.lists(
    st.builds(
        ImageTag,
        st.sampled_from(NAMES),
        st.sampled_from(TagState),
        st.sampled_from(TagSource),
        score=st.none() | st.floats(0, 1),
        position=st.none() | st.integers(0, 9),
    ),
    unique_by=lambda tag: tag.name,
).map(tuple)
SCORES = st.dictionaries(st.sampled_from(NAMES[:3]), st.floats(0, 1))


def saw(*chosen: str, **scores: float) -> Seen:
    """A model that chose some labels, with .9 where nothing else is said."""
    return Seen("new@2", dict.fromkeys(chosen, 0.9) | scores, frozenset(chosen))


def by_model(name: str = "dog", score: float = 0.6, state: TagState = SUGGESTED) -> ImageTag:
    return ImageTag(name, state, MODEL, score, "old@1")


def after(change: Change) -> dict[str, ImageTag]:
    return {tag.name: tag for tag in change.tags}


def test_a_tag_that_the_model_sees_is_added_and_one_that_it_sees_no_more_goes() -> None:
    change = tagged([by_model("dog")], saw("sky"))
    assert change.tags == change.written == (ImageTag("sky", SUGGESTED, MODEL, 0.9, "new@2"),)
    assert change.removed == ("dog",)


def test_a_refinement_that_the_model_does_not_see_goes_and_an_imported_tag_stays() -> None:
    addition, imported = ImageTag("dog", SUGGESTED, REFINEMENT), ImageTag("sky", SUGGESTED, IMPORT)
    change = tagged([addition, imported], saw())
    assert (change.tags, change.removed) == ((imported,), ("dog",))


@pytest.mark.parametrize("chosen", [(), ("dog",)])
@pytest.mark.parametrize("state", [CONFIRMED, REJECTED])
@pytest.mark.parametrize("source", TagSource)
def test_what_a_person_decided_stays_whatever_the_model_sees(
    source: TagSource, state: TagState, chosen: tuple[str, ...]
) -> None:
    [tag] = tagged([ImageTag("dog", state, source, 0.6, "old@1", 3)], saw(*chosen, dog=0.2)).tags
    assert tag == ImageTag("dog", state, source, 0.2, "new@2", 3)


def test_a_tag_that_the_owner_typed_stays_and_gets_the_models_score_where_it_has_one() -> None:
    typed = [ImageTag("dog", SUGGESTED, USER, position=0), ImageTag("collie", SUGGESTED, USER, position=1)]
    change = tagged(typed, saw(dog=0.1))
    assert change.tags == (replace(typed[0], score=0.1, model_version="new@2"), typed[1])
    assert change.written == change.tags[:1]


def test_a_model_that_says_the_same_again_writes_nothing() -> None:
    once = tagged([ImageTag("collie", SUGGESTED, USER, position=0)], saw("dog", "sky"))
    again = tagged(once.tags, saw("dog", "sky"))
    assert (again.tags, again.written, again.removed) == (once.tags, (), ())
    assert again.counted(once.tags) == {}


def test_what_changes_for_people_is_counted_tag_by_tag() -> None:
    before = [
        by_model("goes"),
        by_model("moves", 0.6),
        by_model("hardly", 0.6),
        by_model("rejected", 0.6, REJECTED),
        by_model("confirmed", 0.6, CONFIRMED),
        ImageTag("unscored", SUGGESTED, USER),
    ]
    new = saw("comes", "rejected", moves=0.75, hardly=0.625, confirmed=0.2, unscored=0.5)
    seen = Seen(new.model_version, new.scores, {"comes", "rejected", "moves", "hardly"})
    assert tagged(before, seen).counted(before) == {
        "goes": TagChange(removed=1),
        "comes": TagChange(added=1),
        "moves": TagChange(moved=1),
        "confirmed": TagChange(moved=1),
    }


def test_tags_that_are_given_stand_in_their_order_behind_those_that_were() -> None:
    before = [ImageTag("old", SUGGESTED, USER, position=4), by_model()]
    change = given(before, ["zebra", "old", "ape"], source=USER)
    assert change.tags[:2] == tuple(before)
    assert [(tag.name, tag.position) for tag in change.written] == [("zebra", 5), ("ape", 6)]


def test_a_suggestion_that_the_owner_types_becomes_the_owners_with_its_score() -> None:
    [tag] = given([by_model()], ["dog"], source=USER).tags
    assert tag == replace(by_model(), source=USER, position=0)
    [confirmed] = given([by_model(state=CONFIRMED)], ["dog"], source=USER).tags
    assert (confirmed.state, confirmed.source) == (CONFIRMED, USER)


def test_a_tag_that_the_owner_types_and_the_model_knows_has_its_score() -> None:
    change = given([], ["dog", "collie"], source=IMPORT, seen=saw(dog=0.3))
    assert change.tags == (
        ImageTag("dog", SUGGESTED, IMPORT, 0.3, "new@2", 0),
        ImageTag("collie", SUGGESTED, IMPORT, position=1),
    )


def test_a_rejected_tag_stays_rejected_when_it_is_given_again() -> None:
    before = [by_model(state=REJECTED), ImageTag("collie", REJECTED, USER, position=0)]
    change = given(before, ["dog", "collie"], source=USER)
    assert (change.tags, change.written, change.removed) == (tuple(before), (), ())


def test_a_review_says_what_is_right_wrong_and_missing() -> None:
    before = [by_model("dog"), by_model("sky"), by_model("animals")]
    said = Review(confirm=("dog",), reject=("sky", "cat"), add=("collie", "animals"), suggest={"grass": 0.25})
    assert after(reviewed(before, said)) == {
        "dog": replace(before[0], state=CONFIRMED),
        "sky": replace(before[1], state=REJECTED),
        "animals": replace(before[2], state=CONFIRMED),
        "cat": ImageTag("cat", REJECTED, USER),
        "collie": ImageTag("collie", CONFIRMED, USER),
        "grass": ImageTag("grass", SUGGESTED, IMPORT, 0.25),
    }


def test_a_decision_can_be_changed_and_taken_back() -> None:
    tag = by_model()
    rejected = reviewed([tag], Review(reject=("dog",))).tags
    confirmed = reviewed(rejected, Review(confirm=("dog",))).tags
    assert [each.state for each in (*rejected, *confirmed)] == [REJECTED, CONFIRMED]
    assert reviewed(confirmed, Review(reset=("dog",))).tags == (tag,)


@pytest.mark.parametrize("said", [Review(add=("cat",)), Review(reject=("cat",))])
def test_taking_back_what_a_review_made_out_of_nothing_leaves_nothing(said: Review) -> None:
    made = reviewed([by_model()], said).tags
    change = reviewed(made, Review(reset=("cat",)))
    assert (change.tags, change.removed) == ((by_model(),), ("cat",))


@pytest.mark.parametrize(
    "tag",
    [ImageTag("dog", CONFIRMED, USER, position=0), ImageTag("dog", REJECTED, IMPORT), by_model(state=REJECTED)],
)
def test_taking_back_leaves_what_was_there_before_the_review(tag: ImageTag) -> None:
    assert reviewed([tag], Review(reset=("dog",))).tags == (replace(tag, state=SUGGESTED),)


def test_taking_back_what_is_not_there_changes_nothing() -> None:
    change = reviewed([by_model()], Review(reset=("cat",)))
    assert (change.written, change.removed) == ((), ())


@pytest.mark.parametrize(
    "tag",
    [by_model(), by_model(state=REJECTED), ImageTag("dog", SUGGESTED, USER), ImageTag("dog", CONFIRMED, IMPORT)],
)
def test_a_proposal_changes_no_decision_and_no_tag_of_somebody_else(tag: ImageTag) -> None:
    change = reviewed([tag], Review(suggest={"dog": 0.99}))
    assert (change.tags, change.written) == ((tag,), ())


def test_a_proposal_that_is_made_again_gets_the_new_score() -> None:
    made = reviewed([], Review(suggest={"dog": 0.25})).tags
    assert reviewed(made, Review(suggest={"dog": 1.0})).tags == (replace(made[0], score=1.0),)
    assert reviewed(made, Review(suggest={"dog": None})).tags == (replace(made[0], score=None),)


def test_a_tag_that_is_not_there_cannot_be_confirmed() -> None:
    with pytest.raises(NotFound, match="'cat'"):
        reviewed([by_model()], Review(confirm=("dog", "cat")))


LISTS = ("confirm", "reject", "add", "suggest", "reset")


@pytest.mark.parametrize(("first", "second"), [(a, b) for at, a in enumerate(LISTS) for b in LISTS[at + 1 :]])
def test_a_tag_in_two_lists_is_refused_by_the_name_of_the_second(first: str, second: str) -> None:
    said: dict[str, Any] = {name: {"dog": None} if name == "suggest" else ("dog",) for name in (first, second)}
    with pytest.raises(ArgumentInvalid) as refused:
        reviewed([by_model()], Review(**said))
    assert refused.value.field == second


@pytest.mark.parametrize("score", [-0.01, 1.01, float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_probability_is_refused(score: float) -> None:
    with pytest.raises(ArgumentInvalid) as refused:
        reviewed([], Review(suggest={"dog": score}))
    assert refused.value.field == "suggest"


def test_a_review_that_says_nothing_is_refused() -> None:
    with pytest.raises(ArgumentInvalid):
        reviewed([by_model()], Review())


@given_any(before=TAGS, scores=SCORES, typed=st.lists(st.sampled_from(NAMES), max_size=4))
def test_no_model_and_no_typing_undoes_a_decision(
    before: Sequence[ImageTag], scores: dict[str, float], typed: list[str]
) -> None:
    seen = Seen("new@2", scores, {name for name, score in scores.items() if score >= 0.5})
    later = after(given(tagged(before, seen).tags, typed, source=USER, seen=seen))
    for tag in before:
        if tag.state is not SUGGESTED:
            assert later[tag.name].state is tag.state
        elif tag.source in (USER, IMPORT):
            assert tag.name in later


@given_any(before=TAGS, wanted=TAGS)
def test_a_difference_leads_from_the_one_to_the_other(
    before: tuple[ImageTag, ...], wanted: tuple[ImageTag, ...]
) -> None:
    change = difference(before, wanted)
    there = {tag.name: tag for tag in before if tag.name not in change.removed}
    assert there | {tag.name: tag for tag in change.written} == {tag.name: tag for tag in wanted}
    assert not set(change.written) & set(before)


def judged(*missing: str, **scores: float) -> Refined:
    """A refinement that finds some tags missing, with .9 where nothing else is said."""
    return Refined("refiner@3", dict.fromkeys(missing, 0.9) | scores, frozenset(missing))


def test_what_refinement_misses_comes_and_what_it_misses_no_more_goes() -> None:
    change = refined([ImageTag("dog", SUGGESTED, REFINEMENT, 0.8, "refiner@2")], judged("sky"))
    assert change.tags == change.written == (ImageTag("sky", SUGGESTED, REFINEMENT, 0.9, "refiner@3"),)
    assert change.removed == ("dog",)


def test_a_tag_that_a_person_gave_stays_however_badly_it_fits_and_its_score_says_so() -> None:
    typed = ImageTag("dog", SUGGESTED, USER, 0.7, "old@1", position=0)
    assert refined([typed], judged(dog=0.01)).tags == (replace(typed, score=0.01, model_version="refiner@3"),)


def test_a_tag_that_cannot_be_judged_keeps_what_it_has() -> None:
    typed = ImageTag("nikon", SUGGESTED, USER, position=0)
    assert refined([typed], judged("sky")).written == (ImageTag("sky", SUGGESTED, REFINEMENT, 0.9, "refiner@3"),)


@pytest.mark.parametrize("state", [CONFIRMED, REJECTED])
def test_what_a_person_decided_stays_whatever_refinement_says(state: TagState) -> None:
    for source in TagSource:
        decided = ImageTag("dog", state, source)
        for said in (judged("dog"), judged(), judged(dog=0.0)):
            assert after(refined([decided], said))["dog"].state is state


def test_refinement_adds_no_more_tags_than_a_photo_may_have() -> None:
    many = [ImageTag(f"t{at}", SUGGESTED, USER, position=at) for at in range(1023)]
    assert len(refined(many, judged("dog", "sky", "collie")).tags) == 1024


@given_any(before=TAGS, scores=SCORES, missing=st.sets(st.sampled_from(NAMES[:3])))
def test_refining_twice_is_refining_once(
    before: Sequence[ImageTag], scores: dict[str, float], missing: set[str]
) -> None:
    said = Refined("refiner@3", scores, missing)
    once = refined(before, said).tags
    again = refined(once, said)
    assert (again.tags, again.written, again.removed) == (once, (), ())

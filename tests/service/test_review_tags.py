"""What people say about the tags of a photo outlives every later look of a model; on both databases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from calls import new_id
from people import CONFIRMED, REJECTED, SUGGESTED, Ends, Eye, Person, administrator, failed, person, unique
from servers import FakeDecoder, Running, failure_of, running

from tagwright.v1 import image_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb

LABELS = {"animals", "dog", "flower", "people", "sky"}
SEEN = dict.fromkeys(LABELS, SUGGESTED)


@pytest.fixture(scope="module")
def eye() -> Eye:
    return Eye()


@pytest.fixture(scope="module")
def shared(repository: Path, database_of_module: dict[str, Any], eye: Eye) -> Iterator[Running]:
    """One server for all tests that bring their own people."""
    with running(repository, backend=eye, decoder=FakeDecoder(), **database_of_module) as serving:
        yield serving


@pytest.fixture(scope="module")
def ends(shared: Running) -> Ends:
    return Ends(shared.app)


@pytest.fixture
def ann(shared: Running) -> Person:
    return person(shared)


def retag(server: Running, ends: Ends, owner: Person) -> None:
    """Have the model look at all photos of an account again, and wait for it."""
    wanted = image_pb2.ImageFilter(owner=owner.name)
    id = administrator(server).RetagImages(pb.RetagImagesRequest(filter=wanted)).operation.id
    ends.wait(id)


def sources(photo: image_pb2.Image) -> dict[str, tag_pb2.TagSource.ValueType]:
    return {tag.name: tag.source for tag in photo.tags}


def test_a_review_answers_the_photo_as_it_is_then(ann: Person) -> None:
    image_id = ann.store(unique(), "Collie").image_id
    suggested = [pb.SuggestedTag(name="grass", score=0.25), pb.SuggestedTag(name="Lawn")]
    photo = ann.review(image_id, confirm=["dog"], reject=["sky", "cat"], add=["Border  Collie"], suggest=suggested)
    assert {tag.name: tag.state for tag in photo.tags} == SEEN | {
        "collie": SUGGESTED,
        "dog": CONFIRMED,
        "sky": REJECTED,
        "cat": REJECTED,
        "border collie": CONFIRMED,
        "grass": SUGGESTED,
        "lawn": SUGGESTED,
    }
    states = [tag.state for tag in photo.tags]
    assert states == sorted(states, key=[CONFIRMED, SUGGESTED, REJECTED].index)
    scores = {tag.name: tag.score if tag.HasField("score") else None for tag in photo.tags}
    assert scores["grass"] == 0.25
    assert scores["lawn"] is scores["border collie"] is None
    assert sources(photo)["grass"] == tag_pb2.TAG_SOURCE_IMPORT
    assert sources(photo)["border collie"] == sources(photo)["cat"] == tag_pb2.TAG_SOURCE_USER
    assert sources(photo)["dog"] == tag_pb2.TAG_SOURCE_MODEL
    assert photo.update_time.ToNanoseconds() > photo.create_time.ToNanoseconds()
    assert ann.states(image_id) == {tag.name: tag.state for tag in photo.tags}


def test_a_rejected_tag_stays_away_whatever_comes_later(shared: Running, ends: Ends, ann: Person) -> None:
    data = unique(70, "collie")
    image_id = ann.store(data, "collie").image_id
    expected = SEEN | {"dog": REJECTED, "collie": REJECTED}
    ann.review(image_id, reject=["dog", "collie"])
    again = ann.store(data, "Dog", "collie", use_embedded_tags=True)
    assert again.existing
    assert not {"dog", "collie"} & {tag.name for tag in again.tags}
    states = ann.states(image_id)
    assert {name: states[name] for name in expected} == expected
    offered = ann.offer(hashlib.sha256(data).hexdigest(), len(data), "DOG", "collie")
    assert offered.image_id == image_id
    assert not {"dog", "collie"} & {tag.name for tag in offered.tags}
    retag(shared, ends, ann)
    states = ann.states(image_id)
    assert {name: states[name] for name in expected} == expected


def test_a_tag_rejected_out_of_nothing_never_comes_by_itself(
    shared: Running, ends: Ends, eye: Eye, ann: Person
) -> None:
    image_id = ann.store(unique(20)).image_id
    ann.review(image_id, reject=["dog"])
    with eye.saying(dog=0.99, sky=0.99):
        retag(shared, ends, ann)
    assert ann.states(image_id) == {"dog": REJECTED, "sky": SUGGESTED}


def test_what_was_confirmed_typed_or_proposed_stays_when_the_model_sees_it_no_more(
    shared: Running, ends: Ends, eye: Eye, ann: Person
) -> None:
    image_id = ann.store(unique(), "Sky", "collie").image_id
    ann.review(image_id, confirm=["dog"], add=["flower"], suggest=[pb.SuggestedTag(name="grass", score=0.5)])
    with eye.saying(**dict.fromkeys(LABELS, 0.125)):
        retag(shared, ends, ann)
    photo = ann.get(image_id)
    assert {tag.name: tag.state for tag in photo.tags} == {
        "dog": CONFIRMED,
        "flower": CONFIRMED,
        "sky": SUGGESTED,
        "collie": SUGGESTED,
        "grass": SUGGESTED,
    }
    assert {tag.name: tag.score for tag in photo.tags if tag.name in LABELS} == dict.fromkeys(
        ("dog", "flower", "sky"), 0.125
    )


def test_a_decision_can_be_turned_and_taken_back(ann: Person) -> None:
    image_id = ann.store(unique(), "collie").image_id
    before = ann.get(image_id)
    ann.review(image_id, reject=["dog", "collie", "cat"], add=["tree"])
    ann.review(image_id, confirm=["dog"], reject=["tree"])
    assert ann.states(image_id)["dog"] == CONFIRMED
    assert ann.states(image_id)["tree"] == REJECTED
    ann.review(image_id, reset=["dog", "collie", "cat", "tree", "never heard of"])
    assert ann.get(image_id).tags == before.tags


def test_a_review_that_changes_nothing_leaves_the_photo_as_it_was(ann: Person) -> None:
    image_id = ann.store(unique()).image_id
    first = ann.review(image_id, confirm=["dog"])
    assert ann.review(image_id, confirm=["dog"]) == ann.review(image_id, add=["DOG"]) == first


def test_a_tag_that_is_not_there_cannot_be_confirmed_and_nothing_of_that_review_is_done(ann: Person) -> None:
    image_id = ann.store(unique()).image_id
    before = ann.get(image_id)
    failure = failed(ann.review, image_id, confirm=["cat"], reject=["dog"], add=["tree"])
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert "cat" in failure.text
    assert ann.get(image_id) == before


def test_a_review_concerns_one_photo_alone(ann: Person) -> None:
    one, other = ann.store(unique()).image_id, ann.store(unique()).image_id
    ann.review(one, reject=["dog"])
    assert ann.states(other) == SEEN


def test_a_review_that_is_sent_again_is_done_once(ann: Person) -> None:
    image_id = ann.store(unique()).image_id
    request = pb.ReviewTagsRequest(image_id=image_id, reject=["dog"], request_id=new_id())
    first = ann.ReviewTags(request)
    ann.review(image_id, reset=["dog"])
    assert ann.ReviewTags(request) == first
    assert ann.states(image_id)["dog"] == SUGGESTED
    other = pb.ReviewTagsRequest(image_id=image_id, reject=["sky"], request_id=request.request_id)
    failure = failure_of(ann.ReviewTags, other)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


@pytest.mark.parametrize("list_name", ["confirm", "reject", "add", "reset"])
@pytest.mark.parametrize(
    ("names", "at"),
    [
        ([""], "[0]"),
        (["dog", " "], "[1]"),
        (["x" * 129], "[0]"),
        (["x" * 10_000], "[0]"),
        (["do\0g"], "[0]"),
        (["do\x1bg"], "[0]"),
        (["\u202edog"], "[0]"),
        ([str(number) for number in range(257)], ""),
    ],
)
def test_a_wrong_tag_is_refused_by_name(ann: Person, list_name: str, names: list[str], at: str) -> None:
    image_id = ann.store(unique()).image_id
    failure = failed(ann.review, image_id, **{list_name: names})
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, [f"{list_name}{at}"])
    assert ann.states(image_id) == SEEN


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "request"),
        ({"confirm": ["dog"], "reject": ["DOG "]}, "reject"),
        ({"add": ["dog"], "reset": ["dog"]}, "reset"),
        ({"reject": ["dog"], "suggest": [pb.SuggestedTag(name="dog")]}, "suggest"),
        ({"suggest": [pb.SuggestedTag(name="dog"), pb.SuggestedTag(name="Dog")]}, "suggest"),
        ({"suggest": [pb.SuggestedTag(name="cat", score=1.5)]}, "suggest"),
        ({"suggest": [pb.SuggestedTag(name="cat", score=-0.5)]}, "suggest"),
        ({"suggest": [pb.SuggestedTag(name="cat", score=float("nan"))]}, "suggest"),
        ({"suggest": [pb.SuggestedTag(name="ok"), pb.SuggestedTag()]}, "suggest[1]"),
        ({"suggest": [pb.SuggestedTag(name=str(number)) for number in range(257)]}, "suggest"),
        ({"confirm": ["dog"], "request_id": "no"}, "request_id"),
    ],
)
def test_a_review_that_contradicts_itself_or_says_nothing_is_refused(
    ann: Person, said: dict[str, Any], field: str
) -> None:
    image_id = ann.store(unique()).image_id
    failure = failed(ann.review, image_id, **said)
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert ann.states(image_id) == SEEN


def test_an_alias_in_two_lists_is_the_same_tag(shared: Running, ann: Person) -> None:
    image_id, tag, alias = ann.store(unique()).image_id, f"tag {ann.name}", f"alias {ann.name}"
    shared.tagging.SetTagRules(pb.SetTagRulesRequest(name=tag, aliases=[alias]))
    assert ann.review(image_id, add=[alias]).tags[0].name == tag
    failure = failed(ann.review, image_id, confirm=[tag], reject=[alias])
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["reject"])
    assert ann.states(image_id)[tag] == CONFIRMED
    suggested = [pb.SuggestedTag(name=tag), pb.SuggestedTag(name=alias, score=0.5)]
    twice = failed(ann.review, image_id, suggest=suggested)
    assert (twice.code, twice.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["suggest"])

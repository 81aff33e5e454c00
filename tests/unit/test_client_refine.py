"""Refinement from the client: what goes out, what comes back, what is refused before anything is sent."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_tagging
import grpc
import pytest
from fake_tagging import FakeTagging, abort, decision, status

from tagwright.v1 import tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright_client import (
    ArgumentInvalid,
    Client,
    DeadlineExceeded,
    Evidence,
    ImageRejected,
    ModelUnavailable,
    PhotoUnreadable,
    Refinement,
    TagDecision,
    Timings,
    _convert,
)

WHY = (Evidence("NEIGHBOURS", "2 of 3 photos that look alike have it", 2.5, None, ("a", "b"), ("pet",)),)


@pytest.fixture
def fake() -> Iterator[FakeTagging]:
    with fake_tagging.serving() as fake:
        yield fake


@pytest.fixture
def client(fake: FakeTagging) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


def test_each_tag_comes_back_with_what_to_do_and_why(client: Client) -> None:
    answer = client.refine(b"dog", user_tags=["sky", "!car", "?nikon"])
    assert answer == Refinement(
        decisions=(
            TagDecision("sky", 0.75, "KEEP", WHY),
            TagDecision("car", 0.25, "REMOVE", WHY),
            TagDecision("nikon", None, "UNSURE", WHY),
            TagDecision("dog", 0.875, "ADD", WHY),
        ),
        model_version=fake_tagging.MODEL,
        library_size=3,
        embedding=(),
        timings=Timings(1.5, 2.5, 3.5, total_ms=answer.timings.total_ms, refinement_ms=4.5),
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.decisions[0].decision = "REMOVE"  # type: ignore[misc]


def test_a_photo_is_sent_or_one_that_is_kept_is_named(client: Client, fake: FakeTagging, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"dog")
    client.refine(tmp_path / "photo.jpg", user_tags=("sky",))
    client.refine(image_id="5" * 32)
    sent, named = fake.refinements
    assert (sent.WhichOneof("photo"), sent.image, list(sent.user_tags)) == ("image", b"dog", ["sky"])
    assert (named.WhichOneof("photo"), named.image_id, list(named.user_tags)) == ("image_id", "5" * 32, [])


def test_every_option_reaches_the_server_and_none_is_sent_unasked(client: Client, fake: FakeTagging) -> None:
    client.refine(b"dog")
    client.refine(
        b"dog",
        user_tags=["b", "a"],
        target_precision=0.5,
        min_score=0.0,
        max_tags=3,
        include_tags=["dog"],
        exclude_tags=("sky",),
        model="fake@1",
        include_embedding=True,
    )
    plain, full = fake.refinements
    assert plain == pb.RefineTagsRequest(image=b"dog", options=TaggingOptions(include_evidence=True))
    assert full == pb.RefineTagsRequest(
        image=b"dog",
        user_tags=["b", "a"],
        options=TaggingOptions(
            target_precision=0.5,
            min_score=0.0,
            max_tags=3,
            include_tags=["dog"],
            exclude_tags=["sky"],
            model="fake@1",
            include_embedding=True,
            include_evidence=True,
        ),
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"photo": b"dog", "image_id": "5" * 32},
        {"photo": b"", "image_id": ""},
        {"image_id": ""},
        {"image_id": "\ud800"},
        {"photo": b"dog", "user_tags": ["\udcff"]},
    ],
)
def test_what_names_no_photo_or_no_text_is_refused_before_anything_is_sent(
    client: Client, fake: FakeTagging, given: dict[str, Any]
) -> None:
    with pytest.raises(ArgumentInvalid) as caught:
        client.refine(**given)
    assert [violation.field for violation in caught.value.field_violations]
    assert fake.refinements == []


@pytest.mark.parametrize(
    "given",
    [
        {"user_tags": "dog"},
        {"include_tags": "dog"},
        {"exclude_tags": "dog"},
        {"user_tags": [7]},
        {"photo": 7},
    ],
)
def test_an_argument_of_the_wrong_type_is_a_type_error(
    client: Client, fake: FakeTagging, given: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        client.refine(**{"photo": b"dog", **given})
    assert fake.refinements == []


def test_what_is_wrong_with_the_options_is_said_without_reading_the_photo(client: Client) -> None:
    with pytest.raises(ArgumentInvalid):
        client.refine("/no/such/photo.jpg", image_id="5" * 32)
    with pytest.raises(PhotoUnreadable):
        client.refine("/no/such/photo.jpg")


def test_a_server_that_is_busy_for_a_moment_is_asked_again(client: Client, fake: FakeTagging) -> None:
    def fail_once(attempt: int, request: pb.RefineTagsRequest, context: grpc.ServicerContext) -> None:
        if attempt == 0:
            abort(context, status(14, "the model does not answer", reason="MODEL_UNAVAILABLE"))

    fake.refine = fail_once
    assert client.refine(b"dog").decisions
    assert fake.refinements[0] == fake.refinements[1]


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (3, "IMAGE_REJECTED", ImageRejected),
        (3, "ARGUMENT_INVALID", ArgumentInvalid),
        (14, "MODEL_UNAVAILABLE", ModelUnavailable),
    ],
)
def test_the_servers_errors_are_those_of_the_tree(
    client: Client, fake: FakeTagging, code: int, reason: str, kind: type[Exception]
) -> None:
    fake.refine = lambda attempt, request, context: abort(context, status(code, "no", reason=reason))
    with pytest.raises(kind, match="no"):
        client.refine(b"dog")


def test_an_answer_that_takes_too_long_is_given_up(client: Client, fake: FakeTagging) -> None:
    ended = threading.Event()

    def hang(attempt: int, request: object, context: grpc.ServicerContext) -> None:
        context.add_callback(ended.set)
        ended.wait(10)

    fake.refine = hang
    with pytest.raises(DeadlineExceeded):
        client.refine(b"dog", timeout_s=0.2)


def test_tagging_with_user_tags_brings_their_decisions() -> None:
    message = tag_pb2.ImageTags(model_version="fake@1", decisions=[decision("!car")])
    assert _convert.photo_tags(message).decisions == (TagDecision("car", 0.25, "REMOVE", WHY),)
    assert _convert.photo_tags(tag_pb2.ImageTags()).decisions == ()


def test_a_word_that_is_newer_than_this_client_is_its_number() -> None:
    message = pb.RefineTagsResponse(decisions=[tag_pb2.TagDecision(name="dog", decision=9)])  # type: ignore[arg-type]
    (only,) = _convert.refinement(message, timings=Timings(None, None, None, 1.0)).decisions
    assert (only.decision, only.score) == ("9", None)

"""`tag` and `tag_many` with `store`: what the server keeps, and what it is told about it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_tagging
import grpc
import pytest
from fake_tagging import FakeTagging

from tagwright.v1 import image_pb2
from tagwright_client import ArgumentInvalid, Client, InternalError, Photo, _convert


@pytest.fixture
def fake() -> Iterator[FakeTagging]:
    with fake_tagging.serving() as fake:
        yield fake


@pytest.fixture
def client(fake: FakeTagging) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


def test_a_photo_that_is_kept_has_an_id_and_one_that_is_not_has_none(client: Client) -> None:
    assert client.tag(b"dog").image_id is None
    assert client.tag(b"dog", store=True).image_id == f"{2:032x}"


def test_all_that_is_said_about_a_photo_reaches_the_server(client: Client, fake: FakeTagging, tmp_path: Path) -> None:
    client.tag(
        b"dog",
        user_tags=["Rex"],
        store=True,
        author="Ada",
        visibility="SHARED",
        file_name="rex.jpg",
        use_embedded_tags=True,
    )
    (request,) = fake.requests
    assert (list(request.user_tags), request.store, request.author) == (["Rex"], True, "Ada")
    assert (request.visibility, request.file_name) == (image_pb2.VISIBILITY_SHARED, "rex.jpg")
    assert request.use_embedded_tags
    assert uuid.UUID(request.request_id).version == 4


def test_a_path_gives_its_name_where_the_photo_is_kept(client: Client, fake: FakeTagging, tmp_path: Path) -> None:
    path = tmp_path / "rex.jpg"
    path.write_bytes(b"dog")
    client.tag(path, store=True)
    client.tag(str(path), store=True, file_name="other.jpg")
    client.tag(path)
    client.tag(b"dog", store=True)
    assert [request.file_name for request in fake.requests] == ["rex.jpg", "other.jpg", "", ""]


def test_only_a_photo_that_is_kept_has_a_request_id_of_its_own(client: Client, fake: FakeTagging) -> None:
    ours = str(uuid.uuid4())
    client.tag(b"dog")
    client.tag(b"dog", store=True)
    client.tag(b"dog", store=True, request_id=ours)
    none, own, given = (request.request_id for request in fake.requests)
    assert (none, given) == ("", ours)
    assert own not in ("", ours)
    with pytest.raises(ArgumentInvalid, match="request_id"):
        client.tag(b"dog", store=True, request_id="7")


def test_a_photo_is_sent_again_with_the_same_id_which_is_in_the_error(client: Client, fake: FakeTagging) -> None:
    def fail(attempt: int, request: object, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE if attempt == 0 else grpc.StatusCode.INTERNAL, "broken")

    fake.behave = fail
    with pytest.raises(InternalError) as caught:
        client.tag(b"dog", store=True)
    assert {request.request_id for request in fake.requests} == {caught.value.request_id}
    assert len(fake.requests) == 2


def test_many_photos_are_kept_each_with_its_own_name_and_id(client: Client, fake: FakeTagging, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"dog")
    given: list[Photo] = [tmp_path / "a.jpg", b"cat"]
    options: dict[str, Any] = {"author": "Ada", "visibility": "PRIVATE", "use_embedded_tags": True}
    results = list(client.tag_many(given, store=True, **options))
    assert all(result.tags is not None and result.tags.image_id for result in results)
    by_photo = {request.image: request for request in fake.requests}
    assert (by_photo[b"dog"].file_name, by_photo[b"cat"].file_name) == ("a.jpg", "")
    assert all(request.author == "Ada" and request.use_embedded_tags for request in fake.requests)
    assert all(request.visibility == image_pb2.VISIBILITY_PRIVATE for request in fake.requests)
    assert len({request.request_id for request in fake.requests}) == 2
    list(client.tag_many([b"dog"]))
    assert fake.requests[-1].request_id == ""


@pytest.mark.parametrize("wrong", [{"visibility": "ALL"}, {"user_tags": ["\udcff"]}, {"author": "\udcff"}])
def test_what_makes_no_sense_is_refused_before_the_photo_is_read(
    client: Client, fake: FakeTagging, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ArgumentInvalid):
        client.tag("none.jpg", store=True, **wrong)
    assert fake.requests == []


def test_a_single_string_is_not_taken_for_several_user_tags(client: Client) -> None:
    with pytest.raises(TypeError, match="user_tags"):
        client.tag(b"dog", user_tags="dog")


def test_a_tag_that_nothing_judged_has_no_score_and_what_is_known_of_a_kept_photo_comes_through() -> None:
    message = fake_tagging.image_tags("dog")
    message.tags[0].ClearField("score")
    message.image_id, message.existing = "1" * 32, True
    message.near_duplicate_ids.append("2" * 32)
    answer = _convert.photo_tags(message)
    assert answer.tags[0].score is None
    assert (answer.image_id, answer.existing, answer.near_duplicate_ids) == ("1" * 32, True, ("2" * 32,))


def test_the_time_to_store_is_told_where_the_server_tells_it() -> None:
    assert _convert.timings([("tagwright-store-ms", "4.5")], total_ms=9.0).store_ms == 4.5
    assert _convert.timings([], total_ms=9.0).store_ms is None

"""Photos that are stored with TagImage and TagImages: once, whoever sends them however often; on both databases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import people
import pytest
from calls import new_id
from people import SHARED, Person, administrator, person, unique
from servers import FakeBackend, FakeDecoder, Running, await_true, failure_in, failure_of, running

from tagwright.v1 import tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright_server.store.models import ContentRow

LABELS = {"animals", "dog", "flower", "people", "sky"}


@pytest.fixture(scope="module")
def shared(repository: Path, database_of_module: dict[str, Any]) -> Iterator[Running]:
    """One server for all tests that bring their own people."""
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), **database_of_module) as serving:
        yield serving


@pytest.fixture
def ann(shared: Running) -> Person:
    return person(shared)


@pytest.fixture
def bob(shared: Running) -> Person:
    return person(shared)


def names(tags: tag_pb2.ImageTags) -> set[str]:
    return {tag.name for tag in tags.tags}


def request(data: bytes, **more: Any) -> pb.TagImageRequest:
    return pb.TagImageRequest(**{"image": data, "store": True, **more})


def test_a_stored_photo_comes_back_with_all_that_was_said_and_seen(ann: Person) -> None:
    data = unique() + b"  "
    said = ann.store(data, "Holiday", author="Ann Otter", file_name="IMG 1.jpg", visibility=SHARED)
    assert not said.existing
    image = ann.get(said.image_id)
    assert (image.owner, image.author, image.file_name) == (ann.name, "Ann Otter", "IMG 1.jpg")
    assert (image.visibility, image.model_version) == (SHARED, "tagger@1")
    assert image.source_sha256 == hashlib.sha256(data).hexdigest()
    assert image.content_sha256 == hashlib.sha256(data.strip()).hexdigest()
    assert image.content_size_bytes == len(data.strip())
    assert (image.info.width, image.info.height, image.info.format) == (4, 3, "JPEG")
    assert not image.HasField("capture_time")
    assert image.create_time == image.update_time
    assert {tag.name for tag in image.tags} == names(said) == LABELS | {"holiday"}
    by_name = {tag.name: tag for tag in image.tags}
    assert by_name["holiday"].source == tag_pb2.TAG_SOURCE_USER
    assert not by_name["holiday"].HasField("score")
    assert (by_name["dog"].source, by_name["dog"].model_version) == (tag_pb2.TAG_SOURCE_MODEL, "tagger@1")
    assert by_name["dog"].score == pytest.approx(0.7)
    assert said.tags[-1].name == "holiday"  # without a score, so last


def test_a_photo_that_is_not_to_be_stored_is_not(ann: Person) -> None:
    answer = ann.TagImage(request(unique(), store=False, user_tags=["holiday"])).tags
    assert names(answer) == LABELS | {"holiday"}
    assert not answer.image_id
    assert ann.own() == []


def test_the_same_photo_of_one_account_is_stored_once_and_its_tags_are_united(ann: Person) -> None:
    data = unique()
    first = ann.store(data, "holiday", "beach")
    again = ann.store(data, "Beach", "friends")
    assert again.image_id == first.image_id
    assert (first.existing, again.existing) == (False, True)
    assert names(again) == LABELS | {"holiday", "beach", "friends"}
    assert ann.own() == [first.image_id]
    before = ann.get(first.image_id)
    ann.store(data, "friends", "holiday")
    assert ann.get(first.image_id) == before


def test_a_photo_that_comes_many_times_at_once_is_stored_once(ann: Person) -> None:
    data = unique()
    with ThreadPoolExecutor(6) as many:
        said = list(many.map(lambda tag: ann.store(data, tag), ["a", "b", "c", "d", "e", "f"]))
    assert len({each.image_id for each in said}) == 1
    assert [each.existing for each in said].count(False) == 1
    assert set(ann.states(said[0].image_id)) == LABELS | {"a", "b", "c", "d", "e", "f"}


def test_the_same_photo_twice_in_one_call_is_stored_once(ann: Person) -> None:
    data = unique()
    results = ann.TagImages(pb.TagImagesRequest(requests=[request(data), request(data, user_tags=["late"])])).results
    assert [result.tags.existing for result in results] == [False, True]
    assert len({result.tags.image_id for result in results}) == 1
    assert set(ann.states(results[0].tags.image_id)) == LABELS | {"late"}


def test_equal_photos_of_two_accounts_are_two_whose_bytes_are_kept_once(
    shared: Running, ann: Person, bob: Person
) -> None:
    data = unique(81)
    hers, his = ann.store(data, "hers"), bob.store(data + b"   ", "his")  # other bytes, the same content
    assert hers.image_id != his.image_id
    assert not his.existing
    assert his.near_duplicate_ids == []
    assert (names(hers), names(his)) == (LABELS | {"hers"}, LABELS | {"his"})
    kept = ann.get(hers.image_id).content_sha256
    assert bob.get(his.image_id).content_sha256 == kept
    sha256, blobs = bytes.fromhex(kept), shared.app.data.blobs
    rows = shared.app.data.store.database
    with rows.reading():
        assert len(rows.rows(ContentRow.select(ContentRow.number).where(ContentRow.sha256 == sha256))) == 1
    ann.review(hers.image_id, reject=["dog"])
    assert bob.states(his.image_id)["dog"] == people.SUGGESTED
    ann.delete(hers.image_id)
    assert b"".join(bob.content(his.image_id)[1]) == data
    bob.delete(his.image_id)
    await_true(lambda: not blobs.exists(sha256))  # the housekeeper does it, who was woken
    await_true(lambda: not shared.app.data.store.images.contents_known([sha256]))


def test_one_content_from_two_files_of_one_account_is_two_photos(shared: Running, ann: Person) -> None:
    data = unique(82)
    one, other = ann.store(data), ann.store(data + b" ")
    assert one.image_id != other.image_id
    assert list(other.near_duplicate_ids) == [one.image_id]
    ann.delete(one.image_id)
    assert b"".join(ann.content(other.image_id)[1]) == data


def test_a_photo_that_was_deleted_can_be_stored_again_as_a_new_one(ann: Person) -> None:
    data = unique()
    first = ann.store(data, "holiday")
    ann.delete(first.image_id)
    again = ann.store(data)
    assert not again.existing
    assert again.image_id != first.image_id
    assert set(ann.states(again.image_id)) == LABELS


def test_photos_that_look_the_same_are_told_of_those_the_caller_may_see_alone(shared: Running) -> None:
    ann, bob = person(shared), person(shared)
    private, open_to_all = bob.store(unique(93)).image_id, bob.store(unique(93), visibility=SHARED).image_id
    first = ann.store(unique(93))
    assert list(first.near_duplicate_ids) == [open_to_all]
    second = ann.store(unique(93))
    assert set(second.near_duplicate_ids) == {first.image_id, open_to_all}
    assert set(ann.get(first.image_id).near_duplicate_ids) == {second.image_id, open_to_all}
    assert set(administrator(shared).get(first.image_id).near_duplicate_ids) == {second.image_id, open_to_all, private}
    assert ann.store(unique(20)).near_duplicate_ids == []
    listed = ann.ListImages(pb.ListImagesRequest()).images
    assert not any(image.near_duplicate_ids for image in listed if image.owner == ann.name)


def test_at_most_twenty_that_look_the_same_are_told(ann: Person) -> None:
    for _ in range(23):
        last = ann.store(unique(17))
    assert len(last.near_duplicate_ids) == len(ann.get(last.image_id).near_duplicate_ids) == 20


def test_the_keywords_of_a_photo_are_taken_where_that_is_wanted_behind_those_that_were_said(ann: Person) -> None:
    data = unique(30, "Zebra,\x07bell,Kiwi," + "x" * 200)
    key = data.decode().rpartition(",")[2]
    assert names(ann.store(data, "kiwi")) == {"kiwi"}
    said = ann.store(data, "kiwi", "apple", use_embedded_tags=True)
    assert [tag.name for tag in said.tags] == ["kiwi", "apple", "zebra", key]


def test_the_options_say_which_tags_of_the_model_are_kept(ann: Person) -> None:
    options = TaggingOptions(min_score=0.6, include_tags=["dog"], exclude_tags=["sky"])
    said = ann.store(unique(65), options=options)
    assert set(ann.states(said.image_id)) == LABELS - {"sky"}
    low = ann.store(unique(40), "cat", options=TaggingOptions(include_tags=["dog"], include_evidence=True))
    assert names(low) == {"cat", "dog"}  # asked for, so told
    assert set(ann.states(low.image_id)) == {"cat"}  # and not kept, as it is below its threshold
    assert [len(tag.evidence) for tag in low.tags if tag.name == "dog"] == [1]
    with_embedding = ann.store(unique(), options=TaggingOptions(include_embedding=True))
    assert len(with_embedding.embedding) == 8


def test_a_tag_of_the_owner_that_the_model_knows_has_the_models_score(ann: Person) -> None:
    said = ann.store(unique(30), "Dog")
    [dog] = ann.get(said.image_id).tags
    assert (dog.name, dog.source, dog.model_version) == ("dog", tag_pb2.TAG_SOURCE_USER, "tagger@1")
    assert dog.score == pytest.approx(0.3)


def test_the_trailing_metadata_says_how_long_storing_took(shared: Running) -> None:
    for call, one in (
        (shared.tagging.TagImage, request(unique())),
        (shared.tagging.TagImages, pb.TagImagesRequest(requests=[request(unique()), request(unique())])),
    ):
        _, done = call.with_call(one)
        assert float(dict(done.trailing_metadata())["tagwright-store-ms"]) > 0


def test_a_bad_photo_of_a_batch_fails_alone_and_the_others_are_stored(ann: Person) -> None:
    requests = [request(unique()), request(unique(), user_tags=[" "]), request(unique(), store=False)]
    requests.append(request(unique(), file_name="x" * 1025))
    results = ann.TagImages(pb.TagImagesRequest(requests=requests)).results
    assert [result.WhichOneof("result") for result in results] == ["tags", "error", "tags", "error"]
    assert failure_in(results[1]).wrong_fields == ["requests[1].user_tags[0]"]
    assert failure_in(results[3]).wrong_fields == ["requests[3].file_name"]
    assert ann.own() == [results[0].tags.image_id]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an empty tag": ({"user_tags": [""]}, "user_tags[0]"),
    "a tag of blanks": ({"user_tags": ["dog", " \t\n "]}, "user_tags[1]"),
    "129 characters": ({"user_tags": ["x" * 129]}, "user_tags[0]"),
    "10,000 characters": ({"user_tags": ["x" * 10_000]}, "user_tags[0]"),
    "129 characters once they are lower case": ({"user_tags": ["İ" * 65]}, "user_tags[0]"),
    "a NUL in a tag": ({"user_tags": ["do\0g"]}, "user_tags[0]"),
    "a bell in a tag": ({"user_tags": ["dog", "\x07"]}, "user_tags[1]"),
    "a mark that turns the text": ({"user_tags": ["gpj.\u202egod"]}, "user_tags[0]"),
    "257 tags": ({"user_tags": [str(number) for number in range(257)]}, "user_tags"),
    "257 characters of author": ({"author": "x" * 257}, "author"),
    "a NUL in the author": ({"author": "Ann\0"}, "author"),
    "1,025 characters of file name": ({"file_name": "x" * 1025}, "file_name"),
    "a NUL in the file name": ({"file_name": "\0"}, "file_name"),
    "no such visibility": ({"visibility": 3}, "visibility"),
    "a negative visibility": ({"visibility": -1}, "visibility"),
    "no UUID4": ({"request_id": "1"}, "request_id"),
    "a score above 1": ({"options": {"min_score": 1.5}}, "options.min_score"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_and_nothing_is_stored(ann: Person, what: str) -> None:
    said, field = WRONG[what]
    failure = failure_of(ann.TagImage, request(unique(), **said))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    assert failure.wrong_fields == [field]
    assert len(failure.text) <= 500
    assert failure.text.isprintable()
    assert ann.own() == []


def test_what_is_just_within_the_limits_is_taken(ann: Person) -> None:
    tags = ["x" * 128, *(str(number) for number in range(255))]
    said = ann.store(unique(30), *tags, author="é" * 256, file_name="é" * 1024)
    assert [tag.name for tag in said.tags] == tags
    image = ann.get(said.image_id)
    assert (image.author, image.file_name) == ("é" * 256, "é" * 1024)


ODD = [
    "<script>alert(1)</script>",
    "'; drop table image; --",
    "%",
    "_",
    "\\",
    "👩‍👩‍👧",
    "🐕",
    "كلب",
    "שמש ים",
    "../etc/passwd",
    "-",
]


def test_odd_tags_are_just_tags(ann: Person) -> None:
    said = ann.store(unique(30), *ODD)
    assert [tag.name for tag in said.tags] == ODD
    for tag in ODD:
        assert ann.ids(tag=tag) == [said.image_id]
    assert ann.ids(tag="x") == []


def test_tags_that_differ_in_spelling_only_are_one(ann: Person) -> None:
    said = ann.store(unique(30), "Café", "CAFE\u0301", " café ", "ｃａｆé", "black  cat", "Black\tcat")
    assert [tag.name for tag in said.tags] == ["café", "black cat"]


def test_a_request_id_makes_the_same_request_the_same_photo(ann: Person) -> None:
    once = request(unique(), user_tags=["holiday"], request_id=new_id())
    first = ann.TagImage(once)
    assert not first.tags.existing
    assert ann.TagImage(once) == first  # with `existing` as it was
    other = request(unique(), request_id=once.request_id)
    failure = failure_of(ann.TagImage, other)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert ann.own() == [first.tags.image_id]
    ann.delete(first.tags.image_id)
    assert ann.TagImage(once) == first  # an answer to a question of before
    assert ann.own() == []


def test_the_photos_of_a_batch_have_request_ids_of_their_own(ann: Person) -> None:
    data, used = unique(), new_id()
    batch = pb.TagImagesRequest(requests=[request(data, request_id=used), request(unique(), request_id=new_id())])
    first = ann.TagImages(batch)
    assert ann.TagImages(batch) == first
    wrong = pb.TagImagesRequest(requests=[request(unique(), request_id=used), request(unique())])
    reused, stored = ann.TagImages(wrong).results
    assert failure_in(reused).info.reason == "REQUEST_ID_REUSED"
    assert stored.tags.image_id
    assert len(ann.own()) == 3


def test_a_key_that_reads_tags_stores_nothing(ann: Person) -> None:
    reader, writer = ann.with_key("tagging:read"), ann.with_key("tagging:read", "tagging:write")
    assert names(reader.TagImage(request(unique(), store=False)).tags) == LABELS
    batch = pb.TagImagesRequest(requests=[request(unique(), store=False), request(unique())])
    for call, one in ((reader.TagImage, request(unique())), (reader.TagImages, batch)):
        failure = failure_of(call, one)
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert ann.own() == []
    assert writer.store(unique()).image_id in ann.own()


def test_an_account_keeps_as_many_photos_as_it_may_and_nothing_of_more(
    repository: Path, database: dict[str, Any]
) -> None:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), account_photos_max=2, **database) as server:
        ann, kept = person(server), unique()
        ann.store(kept)
        first_two = pb.TagImagesRequest(requests=[request(unique()), request(unique())])
        stored, over = ann.TagImages(first_two).results
        assert stored.tags.image_id
        assert failure_in(over).info.reason == "QUOTA_EXCEEDED"
        too_many = unique()
        failure = failure_of(ann.TagImage, request(too_many, user_tags=["never"]))
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
        assert failure.retry.retry_delay.ToSeconds() > 0
        assert ann.store(kept, "still").existing  # no photo more
        assert len(ann.own()) == 2
        assert not server.app.data.blobs.exists(hashlib.sha256(too_many).digest())
        tags = [tag.name for tag in administrator(server).ListTags(pb.ListTagsRequest(prefix="n")).tags]
        assert tags == []
        admin = administrator(server)
        assert len({admin.store(unique()).image_id for _ in range(3)}) == 3
        ann.delete(stored.tags.image_id)
        assert ann.store(too_many).image_id
        assert person(server).store(unique()).image_id


def test_an_account_keeps_as_many_bytes_as_it_may_and_nothing_of_more(
    repository: Path, database: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"account_photo_bytes_max": 1024, **database}
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), **settings) as server:
        ann = person(server)
        large, small = unique(70, "x" * 700), unique(70, "y" * 500)
        stored = ann.store(large)
        assert failure_of(ann.TagImage, request(small)).info.reason == "QUOTA_EXCEEDED"
        assert not server.app.data.blobs.exists(hashlib.sha256(small).digest())
        assert ann.store(unique(70, "z" * 100)).image_id
        ann.delete(stored.image_id)
        assert ann.store(small).image_id
        assert administrator(server).store(unique(70, "x" * 2000)).image_id

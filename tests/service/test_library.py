"""Photos that are kept: who sees and changes which, how they are found, and their bytes; on both databases."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import grpc
import pytest
from calls import new_id
from clocks import MovedClock
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from people import SHARED, THUMBNAIL, Person, administrator, failed, person, unique
from servers import PATIENCE_S, Failure, FakeBackend, FakeDecoder, Running, failure_of, running

from tagwright.v1 import auth_service_pb2 as auth
from tagwright.v1 import image_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright_server.store.blobs import FolderBlobs

PRIVATE = image_pb2.VISIBILITY_PRIVATE
METHODS = pb.DESCRIPTOR.services_by_name["TaggingService"].methods
ABOUT_ONE = [method for method in METHODS if "image_id" in method.input_type.fields_by_name]
READING = {"GetImage", "GetImageContent", "RefineTags"}
NO_SUCH = "0" * 32


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


def asked_about(who: Person, method: Any, image_id: str) -> Failure:
    """How a call about one photo fails, of which nothing is said but its id."""
    message = GetMessageClass(method.input_type)(image_id=image_id)
    call = getattr(who, method.name)
    return failed(lambda: list(call(message)) if method.server_streaming else call(message))


def test_these_are_the_calls_about_one_photo() -> None:
    assert {method.name for method in ABOUT_ONE} == READING | {"UpdateImage", "DeleteImage", "ReviewTags"}


@pytest.mark.parametrize("method", ABOUT_ONE, ids=lambda method: method.name)
def test_a_private_photo_of_somebody_else_does_not_exist(ann: Person, bob: Person, method: Any) -> None:
    image_id = ann.store(unique()).image_id
    before = ann.get(image_id)
    failure = asked_about(bob, method, image_id)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    for nothing in (NO_SUCH, "", "x" * 5000, "\0", image_id.upper(), "é", f"{image_id} "):
        assert asked_about(bob, method, nothing).status == failure.status
    assert ann.get(image_id) == before


def test_a_private_photo_of_somebody_else_is_in_no_list(ann: Person, bob: Person) -> None:
    data, tag = unique(), f"tag{ann.name}"
    image_id = ann.store(data, tag).image_id
    source = hashlib.sha256(data).hexdigest()
    assert ann.ids(tag=tag) == ann.ids(ids=[image_id]) == ann.ids(source_sha256s=[source]) == ann.own() == [image_id]
    assert bob.ids(tag=tag) == bob.ids(ids=[image_id]) == bob.ids(source_sha256s=[source]) == []
    assert bob.ids(owner=ann.name) == []
    assert image_id not in bob.ids()
    assert not bob.ListTags(pb.ListTagsRequest(prefix=tag)).tags


def test_a_shared_photo_is_seen_by_all_and_changed_by_its_owner_alone(ann: Person, bob: Person) -> None:
    data = unique()
    image_id = ann.store(data, visibility=SHARED, author="Ann").image_id
    seen, own = bob.get(image_id), ann.get(image_id)
    assert seen.source_sha256 == ""  # who has the file would learn that it is here
    assert own.source_sha256 == hashlib.sha256(data).hexdigest()
    own.source_sha256 = ""
    own.near_duplicate_ids[:] = seen.near_duplicate_ids[:] = []
    assert seen == own
    assert image_id in bob.ids()
    [listed] = bob.ListImages(pb.ListImagesRequest(filter=image_pb2.ImageFilter(ids=[image_id]))).images
    assert listed == seen
    assert b"".join(bob.content(image_id)[1]) == data
    assert bob.content(image_id, variant=THUMBNAIL)[0].size_bytes > 0
    for method in ABOUT_ONE:
        if method.name not in READING:
            failure = asked_about(bob, method, image_id)
            assert (failure.code, failure.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    after = ann.get(image_id)
    after.source_sha256 = ""
    after.near_duplicate_ids[:] = []
    assert after == own


def test_the_digest_of_a_file_finds_the_photos_of_its_owner_alone(shared: Running, ann: Person, bob: Person) -> None:
    data = unique()
    hers = ann.store(data, visibility=SHARED).image_id
    source = hashlib.sha256(data).hexdigest()
    assert bob.ids(source_sha256s=[source]) == bob.ids(source_sha256s=[source], owner=ann.name) == []
    his = bob.store(data).image_id
    assert bob.ids(source_sha256s=[source]) == bob.ids(source_sha256s=[source.upper()], owner=bob.name) == [his]
    assert administrator(shared).ids(source_sha256s=[source]) == [his, hers]


def test_a_photo_that_is_private_again_is_gone_for_others(ann: Person, bob: Person) -> None:
    image_id = ann.store(unique(), visibility=SHARED).image_id
    assert bob.get(image_id).id == image_id
    ann.UpdateImage(pb.UpdateImageRequest(image_id=image_id, visibility=PRIVATE))
    assert failed(bob.get, image_id).code == grpc.StatusCode.NOT_FOUND


def test_administrators_see_and_change_all(shared: Running, ann: Person) -> None:
    admin, data = administrator(shared), unique()
    image_id = ann.store(data).image_id
    seen, own = admin.get(image_id), ann.get(image_id)
    for image in (seen, own):
        image.ClearField("near_duplicate_ids")  # he sees other people's as well
    assert seen == own
    assert image_id in admin.ids()
    assert b"".join(admin.content(image_id)[1]) == data
    changed = admin.UpdateImage(pb.UpdateImageRequest(image_id=image_id, author="Somebody")).image
    assert (changed.owner, changed.author) == (ann.name, "Somebody")
    assert {tag.name: tag.state for tag in admin.review(image_id, reject=["dog"]).tags} == ann.states(image_id)
    admin.delete(image_id)
    assert failed(ann.get, image_id).code == grpc.StatusCode.NOT_FOUND


def test_a_key_that_reads_tags_looks_and_changes_nothing(ann: Person) -> None:
    image_id = ann.store(unique()).image_id
    before, reader = ann.get(image_id), ann.with_key("tagging:read")
    assert reader.get(image_id) == before
    assert reader.own() == [image_id]
    assert reader.content(image_id)[1]
    for method in ABOUT_ONE:
        if method.name not in READING:
            failure = asked_about(reader, method, image_id)
            assert (failure.code, failure.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    searcher = ann.with_key("search")
    assert failed(searcher.get, image_id).info.reason == "SCOPE_MISSING"
    assert ann.get(image_id) == before


def test_who_sees_a_photo_and_who_took_it_can_be_changed(ann: Person) -> None:
    image_id = ann.store(unique(), author="Ann").image_id

    def update(**more: Any) -> image_pb2.Image:
        answer: pb.UpdateImageResponse = ann.UpdateImage(pb.UpdateImageRequest(image_id=image_id, **more))
        return answer.image

    assert (update().author, update().visibility) == ("Ann", PRIVATE)
    assert (update(visibility=SHARED).author, update().visibility) == ("Ann", SHARED)
    changed = update(author="Zoë")
    assert (changed.author, changed.visibility) == ("Zoë", SHARED)
    assert changed.update_time.ToNanoseconds() >= changed.create_time.ToNanoseconds()
    assert update(author="").author == ""
    changed.near_duplicate_ids[:] = []
    assert not changed.near_duplicate_ids


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"author": "x" * 257}, "author"),
        ({"author": "\0"}, "author"),
        ({"visibility": 3}, "visibility"),
        ({"visibility": -1}, "visibility"),
        ({"request_id": "no"}, "request_id"),
    ],
)
def test_a_wrong_change_is_refused_by_name(ann: Person, said: dict[str, Any], field: str) -> None:
    image_id = ann.store(unique()).image_id
    before = ann.get(image_id)
    failure = failure_of(ann.UpdateImage, pb.UpdateImageRequest(image_id=image_id, **said))
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert ann.get(image_id) == before


def test_a_deleted_photo_is_gone_and_a_repeated_request_hears_the_same(ann: Person) -> None:
    image_id = ann.store(unique()).image_id
    request = pb.DeleteImageRequest(image_id=image_id, request_id=new_id())
    assert ann.DeleteImage(request) == ann.DeleteImage(request) == pb.DeleteImageResponse()
    assert failed(ann.delete, image_id).code == grpc.StatusCode.NOT_FOUND
    assert ann.own() == []


def test_the_photos_of_a_deleted_account_are_gone(shared: Running, bob: Person) -> None:
    ann, data = person(shared), unique()
    image_id = ann.store(data, visibility=SHARED).image_id
    assert image_id in bob.ids()
    shared.auth.DeleteUser(auth.DeleteUserRequest(username=ann.name))
    assert failed(bob.get, image_id).code == grpc.StatusCode.NOT_FOUND
    shared.app.housekeeping.sweep()
    assert not shared.app.data.blobs.exists(hashlib.sha256(data).digest())


def test_what_is_changed_and_deleted_is_in_the_audit_log(shared: Running, ann: Person) -> None:
    data = unique()
    image_id = ann.store(data).image_id
    ann.UpdateImage(pb.UpdateImageRequest(image_id=image_id, visibility=SHARED))
    ann.UpdateImage(pb.UpdateImageRequest(image_id=image_id, visibility=SHARED))  # changes nothing
    administrator(shared).delete(image_id)
    events = shared.auth.ListAuditEvents(auth.ListAuditEventsRequest(action="image.")).events
    deleted, updated = [event for event in events if event.target == image_id]
    assert (updated.actor, updated.action) == (ann.name, "image.update")
    assert dict(updated.details) == {"visibility": "shared", "author": "", "owner": ann.name}
    assert (deleted.actor, deleted.action) == ("admin", "image.delete")
    assert dict(deleted.details) == {"owner": ann.name, "source_sha256": hashlib.sha256(data).hexdigest()}


def test_each_field_of_a_filter_leaves_out_what_it_does_not_hold_for(ann: Person, bob: Person) -> None:
    dog = ann.store(unique(), "Collie").image_id
    bare = ann.store(unique(20)).image_id
    other = ann.store(unique(), options=TaggingOptions(model="plain-cnn")).image_id
    named = {"owner": ann.name}
    assert ann.own() == [other, bare, dog]
    assert ann.ids(ids=[dog, bare, NO_SUCH, "\0", "x" * 1000]) == [bare, dog]
    assert ann.ids(tag=" COLLIE ", **named) == [dog]
    assert ann.ids(tag="no such tag") == ann.ids(tag="collie", untagged=True) == []
    assert ann.ids(untagged=True, **named) == [bare]
    assert ann.ids(model_version="plain-cnn@1", **named) == [other]
    assert ann.ids(except_model_version="plain-cnn@1", **named) == [bare, dog]
    assert ann.ids(except_model_version="nobody@7", **named) == [other, bare, dog]
    assert ann.ids(model_version="nobody@7") == ann.ids(model_version="\0@1") == []
    assert ann.ids(owner=ann.name.upper()) == [other, bare, dog]
    assert ann.ids(owner=bob.name) == ann.ids(owner="nobody at all") == ann.ids(owner="\0") == []
    ann.review(dog, reject=["collie"])
    assert ann.ids(tag="collie") == []
    ann.review(bare, reject=["dog"])
    assert ann.ids(untagged=True, **named) == [bare]


def test_photos_are_found_by_when_they_were_stored(stored: Running, clock: MovedClock) -> None:
    ann = person(stored)
    first = ann.store(unique())
    with clock.moved(timedelta(minutes=10)):
        second = ann.store(unique())
        moment = ann.get(second.image_id).create_time
    assert ann.ids(create_time_from=moment) == [second.image_id]
    assert ann.ids(create_time_before=moment) == [first.image_id]
    assert ann.ids(create_time_from=moment, create_time_before=moment) == []
    assert len(ann.ids(create_time_from=Timestamp(seconds=-62135596800))) == 2
    assert ann.ids(create_time_from=Timestamp(seconds=253402300799)) == []


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"ids": ["x"] * 501}, "filter.ids"),
        ({"source_sha256s": ["0" * 64] * 501}, "filter.source_sha256s"),
        ({"source_sha256s": ["0" * 64, "0" * 63]}, "filter.source_sha256s[1]"),
        ({"source_sha256s": ["g" * 64]}, "filter.source_sha256s[0]"),
        ({"source_sha256s": ["0 " * 32]}, "filter.source_sha256s[0]"),
        ({"source_sha256s": [""]}, "filter.source_sha256s[0]"),
        ({"tag": " "}, "filter.tag"),
        ({"tag": "\0"}, "filter.tag"),
        ({"tag": "x" * 129}, "filter.tag"),
        ({"create_time_from": Timestamp(seconds=1 << 40)}, "filter.create_time_from"),
        ({"create_time_before": Timestamp(nanos=-1)}, "filter.create_time_before"),
    ],
)
def test_a_wrong_filter_is_refused_by_name(ann: Person, wanted: dict[str, Any], field: str) -> None:
    request = pb.ListImagesRequest(filter=image_pb2.ImageFilter(**wanted))
    failure = failure_of(ann.ListImages, request)
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


def test_photos_come_in_pages_that_new_ones_do_not_disturb(ann: Person) -> None:
    stored = [ann.store(unique()).image_id for _ in range(7)]
    seen, token = [], ""
    wanted = image_pb2.ImageFilter(owner=ann.name)
    while True:
        page = ann.ListImages(pb.ListImagesRequest(filter=wanted, page_size=3, page_token=token))
        seen += [image.id for image in page.images]
        token = page.next_page_token
        if not token:
            break
        if len(seen) == 3:
            ann.store(unique())
            ann.delete(stored[4])  # already seen: the page goes on behind it
    assert seen == stored[::-1]
    assert all(image.tags for image in page.images)


def test_a_page_token_is_good_for_its_own_list_alone(ann: Person, bob: Person) -> None:
    for _ in range(2):
        ann.store(unique(), visibility=SHARED)
    wanted = image_pb2.ImageFilter(owner=ann.name)
    token = ann.ListImages(pb.ListImagesRequest(filter=wanted, page_size=1)).next_page_token
    assert token
    flipped = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    for who, request in (
        (bob, pb.ListImagesRequest(filter=wanted, page_token=token)),
        (ann, pb.ListImagesRequest(page_token=token)),
        (ann, pb.ListImagesRequest(filter=image_pb2.ImageFilter(owner=ann.name, untagged=True), page_token=token)),
        (ann, pb.ListImagesRequest(filter=wanted, page_token=flipped)),
        (ann, pb.ListImagesRequest(filter=wanted, page_token="AAAA")),
        (ann, pb.ListImagesRequest(filter=wanted, page_token="é")),
        (ann, pb.ListImagesRequest(filter=wanted, page_token=token * 1000)),
    ):
        failure = failure_of(who.ListImages, request)
        assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])
    failure = failure_of(ann.ListTags, pb.ListTagsRequest(page_token=token))
    assert failure.wrong_fields == ["page_token"]
    assert failure_of(ann.ListImages, pb.ListImagesRequest(page_size=-1)).wrong_fields == ["page_size"]
    assert len(ann.ListImages(pb.ListImagesRequest(filter=wanted, page_size=2**31 - 1)).images) == 2


def test_the_bytes_come_as_they_are_kept_in_small_pieces(ann: Person) -> None:
    data = unique(70, "x" * 150_000)
    image_id = ann.store(data + b"  ").image_id
    image = ann.get(image_id)
    info, pieces = ann.content(image_id)
    assert b"".join(pieces) == data
    assert [len(piece) for piece in pieces] == [65_536, 65_536, len(data) - 131_072]
    assert (info.media_type, info.size_bytes, info.sha256) == ("image/jpeg", len(data), image.content_sha256)
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    small, smaller_pieces = ann.content(image_id, variant=THUMBNAIL)
    thumbnail = b"".join(smaller_pieces)
    assert thumbnail == b"small " + data
    assert (small.media_type, small.size_bytes) == ("image/jpeg", len(thumbnail))
    assert small.sha256 == hashlib.sha256(thumbnail).hexdigest() != info.sha256


@pytest.mark.parametrize("variant", [3, -1, 2**31 - 1])
def test_an_unknown_form_of_the_bytes_is_refused(ann: Person, variant: int) -> None:
    image_id = ann.store(unique()).image_id
    failure = failed(ann.content, image_id, variant=variant)
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["variant"])


def test_bytes_that_are_lost_are_a_fault_of_ours_and_tell_no_path(
    shared: Running, ann: Person, caplog: pytest.LogCaptureFixture
) -> None:
    image_id = ann.store(unique()).image_id
    shared.app.data.blobs.remove(bytes.fromhex(ann.get(image_id).content_sha256))
    failure = failed(ann.content, image_id)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "/" not in failure.text


def test_who_does_not_read_keeps_no_place_for_ever(
    repository: Path, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"calls_max": 1, "stream_age_max_s": 0.5, "call_timeout_s": 15.0, **database}
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), **settings) as server:
        ann = person(server)
        image_id = ann.store(unique(70, "x" * 8_000_000)).image_id
        opened, closed = server.app.data.blobs.open, threading.Event()
        monkeypatch.setattr(FolderBlobs, "open", lambda _, sha256: Heard(opened(sha256), closed))
        request = pb.GetImageContentRequest(image_id=image_id)
        answers = ann.GetImageContent(request)
        assert next(answers).info.size_bytes > 8_000_000
        with pytest.raises(grpc.RpcError, match="downloads of one account"):
            list(ann.GetImageContent(request))
        assert ann.get(image_id).id == image_id  # other calls have places of their own
        assert closed.wait(PATIENCE_S)
        with pytest.raises(grpc.RpcError):
            list(answers)


class Heard(BytesIO):
    """The bytes of a file, of which one hears that they were closed."""

    def __init__(self, file: BinaryIO, closed: threading.Event) -> None:
        with file:
            super().__init__(file.read())
        self._closed = closed

    def close(self) -> None:
        super().close()
        self._closed.set()

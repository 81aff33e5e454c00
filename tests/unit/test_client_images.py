"""Kept photos, tags and operations from the client: what goes out, what comes back, what is never sent twice."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fake_tagging
import pytest
from fake_images import STORED, FakeImages
from google.protobuf.timestamp_pb2 import Timestamp

import tagwright_client as tw
from tagwright.v1 import image_pb2, operation_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_client import Client

WHEN = STORED.ToDatetime(tzinfo=timezone.utc)
CHANGES: dict[str, Callable[..., Any]] = {
    "UpdateImage": lambda client, **id_: client.update_image("a", visibility="SHARED", **id_),
    "DeleteImage": lambda client, **id_: client.delete_image("a", **id_),
    "ReviewTags": lambda client, **id_: client.review("a", confirm=["dog"], **id_),
    "RenameTag": lambda client, **id_: client.rename_tag("dog", "hound", **id_),
    "MergeTags": lambda client, **id_: client.merge_tags(["dog"], "hound", **id_),
    "SetTagRules": lambda client, **id_: client.set_tag_rules("dog", aliases=["hound"], **id_),
    "RetagImages": lambda client, **id_: client.retag(**id_),
}
READS: dict[str, Callable[[Client], Any]] = {
    "GetImage": lambda client: client.image("a"),
    "ListImages": lambda client: list(client.images()),
    "GetImageContent": lambda client: client.content("a"),
    "ListTags": lambda client: list(client.tags()),
    "GetOperation": lambda client: client.operation("1"),
    "ListOperations": lambda client: list(client.operations()),
    "CancelOperation": lambda client: client.cancel_operation("1"),
}


@pytest.fixture
def fake() -> Iterator[FakeImages]:
    fake = FakeImages()
    for id in "abc":
        fake.keep(id)
    fake.operations["1"] = operation_pb2.Operation(id="1", state=operation_pb2.OPERATION_STATE_RUNNING)
    with fake_tagging.serving(fake):
        yield fake


@pytest.fixture
def client(fake: FakeImages) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


def unavailable(*, times: int) -> Callable[[str, int, Any], None]:
    def meet(name: str, attempt: int, context: Any) -> None:
        if attempt < times:
            fake_tagging.abort(context, fake_tagging.status(14, "restarting"))

    return meet


def test_a_photo_comes_back_as_frozen_values(client: Client, fake: FakeImages) -> None:
    fake.images["a"].near_duplicate_ids.append("b")
    fake.images["a"].capture_time.CopyFrom(STORED)
    fake.images["a"].tags.add(name="rex", state=tag_pb2.TAG_STATE_CONFIRMED, source=tag_pb2.TAG_SOURCE_USER)
    digest = hashlib.sha256(b"dog").hexdigest()
    assert client.image("a") == tw.Image(
        id="a",
        owner="ada",
        author="",
        visibility="PRIVATE",
        file_name="a.jpg",
        source_sha256=digest,
        content_sha256=digest,
        content_size_bytes=3,
        width=40,
        height=30,
        format="JPEG",
        capture_time=WHEN,
        create_time=WHEN,
        update_time=WHEN,
        model_version="fake@1",
        tags=(
            tw.Tag("dog", 0.75, "SUGGESTED", "MODEL", "fake@1"),
            tw.Tag("rex", None, "CONFIRMED", "USER", ""),
        ),
        near_duplicate_ids=("b",),
    )
    assert client.image("b").capture_time is None
    with pytest.raises(tw.NotFound):
        client.image("z")


def test_photos_are_gone_through_page_by_page_with_the_filter_on_every_page(client: Client, fake: FakeImages) -> None:
    images = client.images(
        ids=["a", "b"],
        source_sha256s=("0" * 64,),
        owner="ada",
        create_time_from=WHEN,
        create_time_before=WHEN,
        model_version="fake@1",
        except_model_version="fake@2",
        untagged=True,
        tag="dog",
    )
    assert fake.calls == []
    assert [image.id for image in images] == ["c", "b", "a"]
    filter_ = image_pb2.ImageFilter(
        ids=["a", "b"],
        source_sha256s=["0" * 64],
        owner="ada",
        create_time_from=STORED,
        create_time_before=STORED,
        model_version="fake@1",
        except_model_version="fake@2",
        untagged=True,
        tag="dog",
    )
    assert fake.called("ListImages") == [
        pb.ListImagesRequest(filter=filter_),
        pb.ListImagesRequest(filter=filter_, page_token="2"),
    ]
    list(client.images(page_size=500))
    assert fake.called("ListImages")[-1].page_size == 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"ids": []},
        {"source_sha256s": ()},
        {"owner": ""},
        {"tag": ""},
        {"model_version": ""},
        {"except_model_version": ""},
        {"create_time_from": datetime(2026, 1, 1)},
    ],
)
def test_a_filter_that_would_mean_every_photo_by_mistake_is_refused(
    client: Client, fake: FakeImages, wrong: dict[str, Any]
) -> None:
    for use in (client.images, client.retag):
        with pytest.raises(tw.ArgumentInvalid) as caught:
            use(**wrong)
        assert [violation.field for violation in caught.value.field_violations] == list(wrong)
    assert fake.calls == []


def test_what_is_not_given_is_left_as_it_is_and_an_author_can_be_taken_away(client: Client, fake: FakeImages) -> None:
    assert client.update_image("a", visibility="SHARED").visibility == "SHARED"
    assert client.update_image("a", author="Ada").author == "Ada"
    changed = client.update_image("a", author="")
    assert (changed.author, changed.visibility) == ("", "SHARED")
    assert [request.HasField("author") for request in fake.called("UpdateImage")] == [False, True, True]
    client.delete_image("a")
    with pytest.raises(tw.NotFound):
        client.delete_image("a")


def test_a_review_says_what_is_right_wrong_and_perhaps(client: Client, fake: FakeImages) -> None:
    image = client.review(
        "a", confirm=["dog"], reject=("cat",), add=["rex"], suggest=["sea", ("sky", 0.5), ("sand", None)], reset=["sun"]
    )
    assert {tag.name: tag.state for tag in image.tags}["cat"] == "REJECTED"
    (request,) = fake.called("ReviewTags")
    assert (list(request.confirm), list(request.reject), list(request.add)) == (["dog"], ["cat"], ["rex"])
    assert list(request.reset) == ["sun"]
    scores = {tag.name: tag.score if tag.HasField("score") else None for tag in request.suggest}
    assert scores == {"sea": None, "sky": 0.5, "sand": None}


@pytest.mark.parametrize("size_bytes", [0, 1, 64 * 1024, 200_000])
def test_the_bytes_of_a_photo_come_whole(client: Client, fake: FakeImages, tmp_path: Path, size_bytes: int) -> None:
    data = bytes(size_bytes)
    fake.keep("large", data=data)
    content = client.content("large")
    assert (content.data, content.media_type, content.size_bytes) == (data, "image/jpeg", size_bytes)
    assert content.sha256 == hashlib.sha256(data).hexdigest()
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"old")
    info = client.save_content("large", path, variant="THUMBNAIL")
    assert path.read_bytes() == data
    assert info == tw.ContentInfo(content.media_type, content.size_bytes, content.sha256)
    assert [request.variant for request in fake.called("GetImageContent")] == [
        image_pb2.CONTENT_VARIANT_KEPT,
        image_pb2.CONTENT_VARIANT_THUMBNAIL,
    ]


def more(info: image_pb2.ContentInfo) -> None:
    info.size_bytes += 1


def less(info: image_pb2.ContentInfo) -> None:
    info.size_bytes -= 1


def another(info: image_pb2.ContentInfo) -> None:
    info.sha256 = "0" * 64


@pytest.mark.parametrize("lie", [more, less, another])
def test_bytes_that_are_not_what_the_server_says_are_a_fault_and_leave_no_file(
    client: Client, fake: FakeImages, tmp_path: Path, lie: Callable[[image_pb2.ContentInfo], None]
) -> None:
    fake.content_info = lie
    with pytest.raises(tw.InternalError, match="makes no sense"):
        client.content("a")
    (tmp_path / "a.jpg").write_bytes(b"old")
    with pytest.raises(tw.InternalError):
        client.save_content("a", tmp_path / "a.jpg")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.jpg", b"old")]


def test_a_photo_that_is_not_there_leaves_no_file_and_a_folder_that_is_not_there_is_an_oserror(
    client: Client, tmp_path: Path
) -> None:
    with pytest.raises(tw.NotFound):
        client.save_content("z", tmp_path / "z.jpg")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        client.save_content("a", tmp_path / "none" / "a.jpg")


def test_tags_are_listed_renamed_merged_and_related(client: Client, fake: FakeImages) -> None:
    for name in ("cat", "car", "dog", "cab"):
        fake.tags[name] = tag_pb2.TagEntry(name=name, parents=["thing"], image_count=3, confirmed_count=1)
    assert [entry.name for entry in client.tags(prefix="ca", order="COUNT")] == ["cab", "car", "cat"]
    assert next(client.tags()) == tw.TagEntry("cab", (), ("thing",), 3, 1)
    orders = [request.order for request in fake.called("ListTags")]
    assert orders == [pb.TAG_ORDER_COUNT, pb.TAG_ORDER_COUNT, pb.TAG_ORDER_NAME]
    assert client.rename_tag("dog", "hound").aliases == ("dog",)
    assert client.merge_tags(["cat", "car"], "cab").aliases == ("cat", "car")
    rules = client.set_tag_rules("dog", aliases=["hound"], parents=["animal"])
    assert (rules.aliases, rules.parents) == (("hound",), ("animal",))
    assert client.set_tag_rules("dog").parents == ()


def test_tagging_anew_is_an_operation_that_can_be_watched_and_cancelled(client: Client, fake: FakeImages) -> None:
    operation = client.retag(owner="ada", model="fake@2", dry_run=True)
    assert (operation.state, operation.dry_run, operation.total, operation.finished) == ("PENDING", True, 3, False)
    assert operation.filter == tw.ImageFilter(owner="ada")
    assert operation.model_version == "fake@2"
    assert operation.create_time == WHEN
    assert operation.end_time is None
    assert client.retag().filter == tw.ImageFilter()
    assert [each.id for each in client.operations()] == [f"{3:032x}", f"{2:032x}", "1"]
    cancelled = client.cancel_operation(operation.id)
    assert (cancelled.state, cancelled.finished) == ("CANCELLED", True)


def test_an_operation_tells_what_changed_and_what_failed(client: Client, fake: FakeImages) -> None:
    message = fake.operations["1"]
    message.state = operation_pb2.OPERATION_STATE_FAILED
    message.tag_changes.add(tag="dog", added=1, removed=2, moved=3)
    message.failures.add(image_id="a").error.CopyFrom(fake_tagging.status(3, "no photo", reason="IMAGE_REJECTED"))
    message.error.CopyFrom(fake_tagging.status(14, "no model", reason="MODEL_UNAVAILABLE"))
    operation = client.operation("1")
    assert operation.tag_changes == (tw.TagChange("dog", 1, 2, 3),)
    assert operation.failures[0].image_id == "a"
    assert isinstance(operation.failures[0].error, tw.ImageRejected)
    assert isinstance(operation.error, tw.ModelUnavailable)
    assert operation.finished


def test_an_operation_is_waited_for_through_a_restart_of_the_server(
    client: Client, fake: FakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagwright_client._operations._FIRST_PAUSE_S", 0.001)

    def progress(operation: operation_pb2.Operation) -> None:
        operation.done += 1
        if operation.done == 3:
            operation.state = operation_pb2.OPERATION_STATE_SUCCEEDED

    fake.progress = progress
    fake.meet = unavailable(times=5)
    seen: list[int] = []
    operation = client.wait_for_operation("1", on_progress=lambda operation: seen.append(operation.done))
    assert (operation.state, seen) == ("SUCCEEDED", [1, 2, 3])


def test_a_wait_has_an_end_and_so_has_one_whose_client_is_closed(client: Client) -> None:
    with pytest.raises(tw.DeadlineExceeded):
        client.wait_for_operation("1", timeout_s=0.01)
    with pytest.raises(tw.ClientClosed):
        client.wait_for_operation("1", on_progress=lambda operation: client.close())


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_retried_with_the_same_id_which_is_the_callers_where_there_is_one(
    client: Client, fake: FakeImages, name: str
) -> None:
    fake.meet = unavailable(times=2)
    CHANGES[name](client)
    sent = [request.request_id for request in fake.called(name)]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    ours = str(uuid.uuid4())
    fake.keep("a")
    CHANGES[name](client, request_id=ours)
    assert fake.called(name)[-1].request_id == ours
    with pytest.raises(tw.ArgumentInvalid, match="request_id"):
        CHANGES[name](client, request_id="7")


@pytest.mark.parametrize("name", CHANGES)
def test_the_id_of_a_change_that_failed_is_in_its_error(client: Client, fake: FakeImages, name: str) -> None:
    fake.meet = lambda name, attempt, context: fake_tagging.abort(context, fake_tagging.status(13, "broken"))
    with pytest.raises(tw.InternalError) as caught:
        CHANGES[name](client)
    assert caught.value.request_id == fake.called(name)[0].request_id


@pytest.mark.parametrize("name", READS)
def test_a_read_is_made_again(client: Client, fake: FakeImages, name: str) -> None:
    fake.meet = unavailable(times=1)
    READS[name](client)
    assert len(fake.called(name)) >= 2


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.update_image("a", visibility="ALL"),
        lambda client: client.content("a", variant="LARGE"),
        lambda client: client.tags(order="SIZE"),
        lambda client: client.image("\udcff"),
        lambda client: client.review("a", suggest=["\udcff"]),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_at_once(
    client: Client, fake: FakeImages, use: Callable[[Client], object]
) -> None:
    with pytest.raises(tw.ArgumentInvalid):
        use(client)
    assert fake.calls == []


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.review("a", confirm="dog"),
        lambda client: client.review("a", suggest="dog"),
        lambda client: client.review("a", suggest=[7]),
        lambda client: client.review("a", suggest=[("dog", 0.5, 1)]),
        lambda client: client.merge_tags("dog", "hound"),
        lambda client: client.images(ids="abc"),
        lambda client: client.image(7),
    ],
)
def test_an_argument_of_a_wrong_type_is_a_type_error(client: Client, use: Callable[[Client], object]) -> None:
    with pytest.raises(TypeError):
        use(client)


def test_an_answer_that_makes_no_sense_is_a_fault_of_the_server(client: Client, fake: FakeImages) -> None:
    fake.images["a"].create_time.CopyFrom(Timestamp(seconds=2**60))
    with pytest.raises(tw.InternalError, match="create_time"):
        client.image("a")

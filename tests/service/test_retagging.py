"""Tagging stored photos anew: exact counts, no decision undone, no photo done twice; on both databases."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from calls import new_id
from clocks import MovedClock
from desk import Desk, asking_for, changes, counts
from google.protobuf.timestamp_pb2 import Timestamp
from people import CONFIRMED, REJECTED, SUGGESTED, Eye, Person, failed, person, unique
from servers import PATIENCE_S, FakeDecoder, failure_of, running

from tagwright.v1 import auth_service_pb2 as auth
from tagwright.v1 import image_pb2, operation_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright_server.errors import ImageRejected, ModelUnavailable

SUCCEEDED = operation_pb2.OPERATION_STATE_SUCCEEDED
CANCELLED = operation_pb2.OPERATION_STATE_CANCELLED
FAILED = operation_pb2.OPERATION_STATE_FAILED
PENDING = operation_pb2.OPERATION_STATE_PENDING
RUNNING = operation_pb2.OPERATION_STATE_RUNNING
BATCH = 8  # photos that are done in one transaction
NO_SUCH = "0" * 32


class TiredEye(Eye):
    """Does not answer any more once it has looked at a number of photos."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = sys.maxsize
        self.tired = threading.Event()

    def infer(self, *arguments: Any, **options: Any) -> Any:
        if sum(self.batches) >= self.looks:
            self.tired.set()
            raise ModelUnavailable("tired", retry_after_s=PATIENCE_S)
        return super().infer(*arguments, **options)


@pytest.fixture(scope="module")
def shared(repository: Path, database_of_module: dict[str, Any]) -> Iterator[Desk]:
    """One server for all tests that leave nothing unfinished."""
    eye, decoder = Eye(), FakeDecoder()
    with running(repository, backend=eye, decoder=decoder, **database_of_module) as serving:
        yield Desk(serving, eye, decoder)


@pytest.fixture
def desk(shared: Desk) -> Desk:
    """The same server, with an account that has no photos yet."""
    shared.ann = person(shared.server)
    return shared


def test_what_changed_is_counted_exactly_for_a_model_that_changed_its_mind(desk: Desk) -> None:
    [one, two, three] = desk.photos(3)
    dull = desk.photos(1, score=20)[0]
    desk.ann.review(one, reject=["sky"], confirm=["people"])
    with desk.eye.saying(dog=0.25, sky=0.75, people=0.125, flower=0.72):
        begun = desk.begin()
        assert (begun.state, begun.username, begun.model_version) == (PENDING, "admin", "tagger@1")
        assert (begun.filter.owner, begun.validate_only, counts(begun)) == (desk.ann.name, False, (4, 4, 0, 0))
        operation = desk.ended(begun.id)
    assert (operation.state, counts(operation)) == (SUCCEEDED, (4, 0, 4, 0))
    assert not operation.HasField("error")
    assert not operation.failures
    assert operation.end_time.ToNanoseconds() >= operation.create_time.ToNanoseconds() > 0
    # One photo had its sky rejected and its people confirmed; the dull one had no tags, and sees sky and flower now.
    assert changes(operation) == {"sky": (1, 0, 2), "dog": (0, 3, 0), "people": (0, 2, 1), "flower": (1, 0, 0)}
    assert [change.tag for change in operation.tag_changes] == ["dog", "people", "sky", "flower"]
    assert desk.ann.states(one) == {
        "people": CONFIRMED,
        "animals": SUGGESTED,
        "flower": SUGGESTED,
        "sky": REJECTED,
    }
    seen = dict.fromkeys(("animals", "flower", "sky"), SUGGESTED)
    assert desk.ann.states(two) == desk.ann.states(three) == seen
    assert desk.ann.states(dull) == dict.fromkeys(("flower", "sky"), SUGGESTED)


def test_the_same_model_again_changes_nothing(desk: Desk) -> None:
    photos = [desk.ann.get(each) for each in desk.photos(3)]
    operation = desk.retag()
    assert (counts(operation), changes(operation)) == ((3, 0, 3, 0), {})
    assert [desk.ann.get(each.id) for each in photos] == photos


def test_a_dry_run_tells_what_would_change_and_changes_nothing(desk: Desk) -> None:
    before = [desk.ann.get(each) for each in desk.photos(10)]
    with desk.eye.saying(dog=0.25, sky=0.875):
        dry = desk.retag(dry=True, model="plain-cnn")
        assert (dry.state, dry.validate_only, counts(dry)) == (SUCCEEDED, True, (10, 0, 10, 0))
        assert changes(dry) == {"dog": (0, 10, 0), "sky": (0, 0, 10)}
        assert [desk.ann.get(each.id) for each in before] == before
        assert changes(desk.retag(model="plain-cnn")) == changes(dry)
    assert desk.ann.get(before[0].id).model_version == "plain-cnn@1"


def test_a_filter_says_which_photos_are_meant(desk: Desk) -> None:
    [one, two] = desk.photos(2)
    other = desk.ann.store(unique(), options=TaggingOptions(model="plain-cnn")).image_id
    desk.ann.review(two, add=[f"tag {desk.ann.name}"])
    owner = desk.ann.name
    for wanted, total in (
        ({"owner": owner.upper()}, 3),
        ({"ids": [one, other, NO_SUCH]}, 2),
        ({"tag": f"TAG {owner}"}, 1),
        ({"except_model_version": "tagger@1", "owner": owner}, 1),
        ({"untagged": True, "owner": owner}, 0),
        ({"ids": [NO_SUCH]}, 0),
    ):
        operation = desk.retag(dry=True, **wanted)
        assert (operation.state, counts(operation)) == (SUCCEEDED, (total, 0, total, 0)), wanted
    assert counts(desk.retag(except_model_version="plain-cnn@1", model="plain-cnn", owner=owner)) == (2, 0, 2, 0)
    assert {desk.ann.get(each).model_version for each in (one, two, other)} == {"plain-cnn@1"}


def test_photos_that_come_later_are_not_meant(desk: Desk) -> None:
    desk.photos(1)
    with desk.held():
        id = desk.begin().id
        desk.looking()
        desk.eye.latch.open()
        late = desk.ann.store(unique()).image_id
    assert counts(desk.ended(id))[0] == 1
    assert late in desk.ann.own()


def test_photos_that_are_deleted_meanwhile_are_left_out(desk: Desk) -> None:
    photos = desk.photos(BATCH + 2)
    with desk.held():
        id = desk.begin().id
        desk.looking()
        assert desk.get(id).state == RUNNING
        desk.ann.delete(photos[0])
        desk.ann.delete(photos[-1])
    operation = desk.ended(id)
    assert (operation.state, counts(operation)) == (SUCCEEDED, (BATCH + 2, 0, BATCH, 0))


def test_what_people_decide_while_the_model_looks_stays(desk: Desk) -> None:
    [photo] = desk.photos(1)
    with desk.held():
        id = desk.begin().id
        desk.looking()
        desk.ann.review(photo, reject=["dog"], add=["collie"])
    assert changes(desk.ended(id)) == {}
    assert desk.ann.states(photo)["dog"] == REJECTED
    assert desk.ann.states(photo)["collie"] == CONFIRMED


def test_a_photo_that_cannot_be_done_is_counted_and_named_and_keeps_its_tags(desk: Desk) -> None:
    [lost, kept] = [desk.ann.get(each) for each in desk.photos(2)]
    desk.server.app.data.blobs.remove(bytes.fromhex(lost.content_sha256))
    with desk.eye.saying(dog=0.25):
        operation = desk.retag()
    assert (operation.state, counts(operation), changes(operation)) == (SUCCEEDED, (2, 0, 1, 1), {"dog": (0, 1, 0)})
    [failure] = operation.failures
    assert (failure.image_id, failure.error.code) == (lost.id, grpc.StatusCode.NOT_FOUND.value[0])
    assert "/" not in failure.error.message
    assert desk.ann.states(lost.id)["dog"] == SUGGESTED
    assert "dog" not in desk.ann.states(kept.id)


def test_the_first_hundred_photos_that_cannot_be_done_are_named(desk: Desk) -> None:
    photos = desk.photos(101)

    def reject() -> None:
        raise ImageRejected("It is broken.", limit="truncated")

    desk.decoder.before_result = reject
    try:
        operation = desk.retag()
    finally:
        desk.decoder.before_result = lambda: None
    assert (operation.state, counts(operation)) == (SUCCEEDED, (101, 0, 0, 101))
    assert [failure.image_id for failure in operation.failures] == photos[:100]
    assert {failure.error.message for failure in operation.failures} == {"It is broken."}
    listed = desk.admin.ListOperations(pb.ListOperationsRequest()).operations
    [shown] = [each for each in listed if each.id == operation.id]
    assert not shown.failures
    assert shown.failed == 101


def test_a_model_that_does_not_answer_is_waited_for_and_fails_no_photo(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.photos(2)
    infer, refusals = desk.eye.infer, iter(range(2))

    def refuse(*arguments: Any, **options: Any) -> Any:
        if next(refusals, None) is not None:
            raise ModelUnavailable("not now", retry_after_s=0.01)
        return infer(*arguments, **options)

    monkeypatch.setattr(desk.eye, "infer", refuse)
    operation = desk.retag()
    assert (operation.state, counts(operation)) == (SUCCEEDED, (2, 0, 2, 0))
    assert next(refusals, None) is None


def test_a_fault_of_ours_ends_the_operation_and_tells_no_secret(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    photos = [desk.ann.get(each) for each in desk.photos(1)]
    monkeypatch.setattr(desk.eye, "error", RuntimeError("/the/secret path"))
    with caplog.at_level(logging.ERROR):
        operation = desk.retag()
    assert (operation.state, counts(operation)) == (FAILED, (1, 0, 0, 0))
    assert operation.error.code == grpc.StatusCode.INTERNAL.value[0]
    text, _, error_id = operation.error.message.partition("Error id: ")
    assert text
    assert error_id in caplog.text
    assert len(error_id) >= 8
    assert "secret" not in str(operation)
    monkeypatch.undo()
    assert desk.retag().state == SUCCEEDED  # others have their turn
    assert [desk.ann.get(each.id) for each in photos] == photos


def test_a_cancelled_operation_ends_at_the_next_photos_and_what_it_did_stays(desk: Desk) -> None:
    photos = desk.photos(BATCH + 2)
    with desk.eye.saying(dog=0.25):
        with desk.held():
            id = desk.begin().id
            desk.looking()
            assert desk.cancel(id).state == RUNNING
            assert desk.cancel(id).state == RUNNING
        operation = desk.ended(id)
    assert (operation.state, counts(operation)) == (CANCELLED, (BATCH + 2, 0, BATCH, 0))
    assert changes(operation) == {"dog": (0, BATCH, 0)}
    assert ["dog" in desk.ann.states(each) for each in photos] == [False] * BATCH + [True] * 2
    assert desk.cancel(id) == operation


def test_an_operation_that_has_ended_is_not_cancelled(desk: Desk) -> None:
    operation = desk.retag()
    assert desk.cancel(operation.id) == operation
    assert desk.get(operation.id).state == SUCCEEDED


def test_twenty_operations_may_be_unfinished(desk: Desk) -> None:
    desk.photos(1)
    with desk.held():
        begun = [desk.begin().id for _ in range(20)]
        failure = failed(desk.begin)
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
        assert failure.retry.retry_delay.ToTimedelta() > timedelta(0)
        waiting = desk.cancel(begun[-1])
        assert (waiting.state, counts(waiting)) == (CANCELLED, (1, 0, 0, 0))
        begun[-1] = desk.begin().id
    assert {desk.ended(id).state for id in begun} == {SUCCEEDED}


def test_operations_are_listed_the_latest_first(desk: Desk) -> None:
    mine = [desk.retag(ids=[NO_SUCH]).id for _ in range(5)]
    seen: list[operation_pb2.Operation] = []
    token = ""
    while not seen or token:
        page = desk.admin.ListOperations(pb.ListOperationsRequest(page_size=2, page_token=token))
        seen, token = [*seen, *page.operations], page.next_page_token
    assert [each.id for each in seen][:5] == mine[::-1]
    assert len({each.id for each in seen}) == len(seen)
    assert seen[0] == desk.get(mine[-1])


def test_the_same_request_begins_one_operation(desk: Desk) -> None:
    request = pb.RetagImagesRequest(filter=image_pb2.ImageFilter(owner=desk.ann.name), request_id=new_id())
    first = desk.admin.RetagImages(request)
    desk.ends.wait(first.operation.id)
    assert desk.admin.RetagImages(request) == first
    request.validate_only = True
    assert failure_of(desk.admin.RetagImages, request).info.reason == "REQUEST_ID_REUSED"


def test_who_began_and_cancelled_what_is_in_the_audit_log(desk: Desk) -> None:
    desk.photos(1)
    with desk.held():
        id = desk.begin(dry=True).id
        desk.looking()
        desk.cancel(id)
        desk.cancel(id)
    desk.ends.wait(id)
    events = desk.server.auth.ListAuditEvents(auth.ListAuditEventsRequest(action="retag.")).events
    cancelled, begun = [event for event in events if event.target == id]
    assert (cancelled.actor, cancelled.action) == ("admin", "retag.cancel")
    assert (begun.actor, begun.action) == ("admin", "retag.start")
    assert dict(begun.details) == {"model": "tagger@1", "validate_only": "True", "total": "1"}


@pytest.mark.parametrize("id", ["", NO_SUCH, "\0", "x" * 5000, "é"])
def test_an_operation_that_there_is_not_is_not_found(desk: Desk, id: str) -> None:
    for call in (desk.get, desk.cancel):
        failure = failed(call, id)
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize("wanted", [{"model": "nobody"}, {"model": "tagger@2"}, {"owner": "nobody"}, {"owner": "\0"}])
def test_a_model_or_an_owner_that_there_is_not_is_not_found(desk: Desk, wanted: dict[str, str]) -> None:
    failure = failed(desk.begin, **wanted)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize(
    ("call", "request_", "field"),
    [
        ("RetagImages", asking_for(ids=["x"] * 501), "filter.ids"),
        ("RetagImages", asking_for(source_sha256s=["x"]), "filter.source_sha256s[0]"),
        ("RetagImages", asking_for(tag="\0"), "filter.tag"),
        ("RetagImages", asking_for(create_time_from=Timestamp(nanos=-1)), "filter.create_time_from"),
        ("RetagImages", pb.RetagImagesRequest(request_id="no"), "request_id"),
        ("CancelOperation", pb.CancelOperationRequest(request_id="no"), "request_id"),
        ("ListOperations", pb.ListOperationsRequest(page_size=-1), "page_size"),
        ("ListOperations", pb.ListOperationsRequest(page_token="forged"), "page_token"),
    ],
)
def test_what_is_wrong_is_named(desk: Desk, call: str, request_: Any, field: str) -> None:
    failure = failure_of(getattr(desk.admin, call), request_)
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_an_operation_goes_on_where_it_was_when_the_server_starts_again(
    repository: Path,
    database: dict[str, Any],
    clock: MovedClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed: bool,
) -> None:
    settings: dict[str, Any] = {"data_folder": tmp_path / "data", "clock": clock, **database}
    eye, decoder = TiredEye(), FakeDecoder()
    with running(repository, backend=eye, decoder=decoder, **settings) as server:
        desk = Desk(server, eye, decoder)
        name, photos = desk.ann.name, desk.photos(BATCH + 4)
        eye.looks = sum(eye.batches) + BATCH
        if killed:  # nobody gives the operation back: it is taken over once its time is up
            monkeypatch.setattr(server.app.data.store.operations, "release", lambda holder: None)
        with eye.saying(dog=0.25):
            id = desk.begin().id
            assert eye.tired.wait(PATIENCE_S)
            operation = desk.get(id)
            assert (operation.state, counts(operation)) == (RUNNING, (BATCH + 4, 4, BATCH, 0))
    fresh = Eye()
    fresh.latch.close()
    clock.by += timedelta(seconds=20)
    with fresh.saying(dog=0.25), running(repository, backend=fresh, decoder=decoder, **settings) as server:
        desk = Desk(server, fresh, decoder)
        fresh.latch.open()
        operation = desk.ended(id)
        assert (operation.state, counts(operation)) == (SUCCEEDED, (BATCH + 4, 0, BATCH + 4, 0))
        assert changes(operation) == {"dog": (0, BATCH + 4, 0)}
        assert sum(fresh.batches) == 4
        ann = Person(server, name, server.sign_in(name))
        assert all("dog" not in ann.states(each) for each in photos)

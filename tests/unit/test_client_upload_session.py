"""What an upload does next: pace, need, order, retries, new streams, and never two results for one photo."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagwright_client import PhotoTags, PhotoUnreadable, StorageFull, TagwrightError, Timings, UploadPhoto
from tagwright_client._upload_session import (
    CHUNK_BYTES,
    Chunk,
    Entry,
    HalfClose,
    Offer,
    Open,
    Step,
    UploadSession,
    Wait,
)

TAGS = PhotoTags((), "fake@1", 4, 3, "JPEG", (), Timings(None, None, None, 0.0), image_id="1" * 32)
LATER = StorageFull("full", retry_after_s=10.0)


def entry(name: str, *, size_bytes: int = 3) -> Entry:
    return Entry(photo=UploadPhoto(name.encode(), key=name), sha256=f"digest of {name}", size_bytes=size_bytes)


def session(
    *names: str, photos_max: int = 10, bytes_max: int = 1000, window: int | None = None, size_bytes: int = 3
) -> UploadSession:
    """A session that holds these photos, in a stream that may begin."""
    made = UploadSession(give_up_s=100.0, window=window)
    for name in names:
        made.add(entry(name, size_bytes=size_bytes), now_s=0.0)
    made.pace(photos_max=photos_max, bytes_max=bytes_max, wait_s=0.0, now_s=0.0)
    return made


def steps(machine: UploadSession, now_s: float = 0.0) -> list[Step]:
    """All steps that there are to do now, with the photos read as they were offered."""
    done: list[Step] = []
    while not isinstance(step := machine.next_step(now_s), (Wait, HalfClose)):
        done.append(step)
        if isinstance(step, Open):
            machine.opened(step.offer_id, bytes(step.entry.size_bytes), sha256=step.entry.sha256, now_s=now_s)
    return done


def offers(done: list[Step]) -> dict[object, int]:
    return {step.entry.photo.key: step.offer_id for step in done if isinstance(step, Offer)}


def keys(machine: UploadSession) -> list[object]:
    return [finished.photo.key for finished in machine.finished]


def left(machine: UploadSession) -> bool:
    return machine.left


def test_nothing_is_offered_before_the_server_said_how_much_it_takes() -> None:
    machine = UploadSession(give_up_s=100.0)
    machine.add(entry("a"), now_s=0.0)
    assert machine.next_step(0.0) == Wait(math.inf)
    machine.pace(photos_max=1, bytes_max=10, wait_s=0.0, now_s=0.0)
    assert list(offers(steps(machine))) == ["a"]


def test_photos_are_offered_in_order_and_never_more_than_the_pace_allows() -> None:
    machine = session("a", "b", "c", photos_max=2)
    first = offers(steps(machine))
    assert list(first) == ["a", "b"]
    machine.result(first["b"], tags=TAGS, now_s=0.0)
    assert list(offers(steps(machine))) == ["c"]
    assert keys(machine) == ["b"]


def test_a_pace_that_shrinks_takes_nothing_back_and_one_that_grows_lets_more_through() -> None:
    machine = session("a", "b", "c", "d", photos_max=2)
    first = offers(steps(machine))
    machine.pace(photos_max=1, bytes_max=1000, wait_s=0.0, now_s=0.0)
    machine.result(first["a"], tags=TAGS, now_s=0.0)
    assert steps(machine) == []
    machine.pace(photos_max=3, bytes_max=1000, wait_s=0.0, now_s=0.0)
    assert list(offers(steps(machine))) == ["c", "d"]


def test_a_server_that_asks_for_quiet_gets_it_in_the_middle_of_a_photo_too() -> None:
    machine = session("a", size_bytes=2 * CHUNK_BYTES, bytes_max=10 * CHUNK_BYTES)
    machine.need(list(offers(steps(machine)).values()))
    step = machine.next_step(1.0)
    assert isinstance(step, Open)
    machine.opened(step.offer_id, bytes(2 * CHUNK_BYTES), sha256=step.entry.sha256, now_s=1.0)
    assert isinstance(machine.next_step(1.0), Chunk)
    machine.pace(photos_max=10, bytes_max=10 * CHUNK_BYTES, wait_s=5.0, now_s=1.0)
    assert machine.next_step(1.0) == Wait(6.0)
    assert isinstance(machine.next_step(6.0), Chunk)


@pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES - 1])
def test_a_photo_that_is_needed_is_sent_in_pieces_in_order_and_complete(size_bytes: int) -> None:
    machine = session("a", size_bytes=size_bytes, bytes_max=10 * CHUNK_BYTES)
    (number,) = offers(steps(machine)).values()
    data = bytes(index % 251 for index in range(size_bytes))
    machine.need([number, number])
    machine.need([number])
    step = machine.next_step(0.0)
    assert isinstance(step, Open)
    machine.opened(number, data, sha256=step.entry.sha256, now_s=0.0)
    chunks = [chunk for chunk in steps(machine) if isinstance(chunk, Chunk)]
    assert b"".join(chunk.data for chunk in chunks) == data
    assert all(1 <= len(chunk.data) <= CHUNK_BYTES and chunk.offer_id == number for chunk in chunks)
    machine.need([number])
    assert steps(machine) == []
    machine.result(number, tags=TAGS, now_s=2.0)
    assert machine.finished[0].sent_bytes == size_bytes
    assert machine.finished[0].took_s == 2.0


def test_a_photo_that_the_server_has_is_never_read() -> None:
    machine = session("a")
    (number,) = offers(steps(machine)).values()
    machine.result(number, tags=TAGS, now_s=0.0)
    assert steps(machine) == []
    assert machine.finished[0].sent_bytes == 0


def test_no_more_bytes_are_under_way_than_the_pace_allows_but_for_one_photo() -> None:
    machine = session("a", "b", "c", bytes_max=5)
    numbers = offers(steps(machine))
    machine.need(list(numbers.values()))
    assert [step.data for step in steps(machine) if isinstance(step, Chunk)] == [bytes(3)]
    machine.result(numbers["a"], tags=TAGS, now_s=0.0)
    assert [step.offer_id for step in steps(machine) if isinstance(step, Chunk)] == [numbers["b"]]
    large = session("d", size_bytes=100, bytes_max=5)
    large.need(list(offers(steps(large)).values()))
    assert sum(len(step.data) for step in steps(large) if isinstance(step, Chunk)) == 100


def test_a_photo_that_cannot_be_taken_now_is_offered_again_when_the_server_says() -> None:
    machine = session("a", "b")
    numbers = offers(steps(machine))
    machine.result(numbers["a"], error=LATER, now_s=1.0)
    machine.result(numbers["b"], tags=TAGS, now_s=1.0)
    assert machine.next_step(1.0) == Wait(11.0)
    again = offers(steps(machine, now_s=11.0))
    assert list(again) == ["a"]
    assert again["a"] not in numbers.values()
    machine.result(again["a"], tags=TAGS, now_s=12.0)
    assert keys(machine) == ["b", "a"]


def test_a_photo_is_given_up_where_it_has_been_refused_for_long_enough() -> None:
    machine = session("a")
    now_s = 0.0
    while not machine.finished:
        for number in offers(steps(machine, now_s=now_s)).values():
            machine.result(number, error=LATER, now_s=now_s)
        now_s += 10.0
    assert machine.finished[0].error is LATER
    assert now_s == pytest.approx(110.0)


def test_a_photo_whose_time_lies_beyond_all_patience_fails_at_once() -> None:
    machine = session("a")
    (number,) = offers(steps(machine)).values()
    error = StorageFull("full", retry_after_s=3600.0)
    machine.result(number, error=error, now_s=0.0)
    assert machine.finished[0].error is error


def test_an_error_without_a_time_is_final_and_stops_the_bytes_of_its_photo() -> None:
    machine = session("a", size_bytes=2 * CHUNK_BYTES, bytes_max=10 * CHUNK_BYTES)
    (number,) = offers(steps(machine)).values()
    machine.need([number])
    step = machine.next_step(0.0)
    assert isinstance(step, Open)
    machine.opened(number, bytes(2 * CHUNK_BYTES), sha256=step.entry.sha256, now_s=0.0)
    assert isinstance(machine.next_step(0.0), Chunk)
    machine.result(number, error=TagwrightError("no"), now_s=0.0)
    assert steps(machine) == []
    assert machine.finished[0].sent_bytes == CHUNK_BYTES


def test_a_second_result_and_one_for_nothing_are_passed_over() -> None:
    machine = session("a")
    (number,) = offers(steps(machine)).values()
    for _ in range(2):
        machine.result(number, tags=TAGS, now_s=0.0)
    machine.result(999, tags=TAGS, now_s=0.0)
    machine.need([number, 999])
    assert keys(machine) == ["a"]
    assert steps(machine) == []


def test_a_stream_that_breaks_leaves_nothing_out_and_offers_in_the_old_order() -> None:
    machine = session("a", "b", "c", "d", photos_max=3)
    numbers = offers(steps(machine))
    machine.need([numbers["a"]])
    steps(machine)
    machine.result(numbers["b"], tags=TAGS, now_s=0.0)
    machine.reset()
    assert machine.next_step(0.0) == Wait(math.inf)
    machine.pace(photos_max=4, bytes_max=1000, wait_s=0.0, now_s=0.0)
    again = offers(steps(machine))
    assert list(again) == ["a", "c", "d"]
    assert not set(again.values()) & set(numbers.values())
    machine.result(numbers["a"], tags=TAGS, now_s=0.0)  # of the old stream
    assert keys(machine) == ["b"]


def test_a_stream_to_be_left_gets_the_bytes_it_asked_for_and_no_new_offers() -> None:
    machine = session("a", "b", photos_max=1)
    (number,) = offers(steps(machine)).values()
    machine.move_on()
    machine.pace(photos_max=9, bytes_max=1000, wait_s=0.0, now_s=0.0)
    assert steps(machine) == []
    machine.need([number])
    assert [type(step) for step in steps(machine)] == [Open, Chunk]
    assert not left(machine)
    machine.result(number, tags=TAGS, now_s=0.0)
    assert left(machine)
    assert machine.next_step(0.0) == HalfClose()
    machine.reset()
    machine.pace(photos_max=9, bytes_max=1000, wait_s=0.0, now_s=0.0)
    assert list(offers(steps(machine))) == ["b"]


def test_the_end_is_when_the_source_is_used_up_and_every_photo_has_its_result() -> None:
    machine = session("a")
    (number,) = offers(steps(machine)).values()
    machine.source_used_up = True
    assert machine.next_step(0.0) == Wait(math.inf)
    machine.result(number, tags=TAGS, now_s=0.0)
    assert machine.completed
    assert machine.next_step(0.0) == HalfClose()


def test_a_photo_that_changed_is_offered_anew_once_in_a_new_stream_and_then_fails() -> None:
    machine = session("a")
    for digest in ("second", "third"):
        (number,) = offers(steps(machine)).values()
        machine.need([number])
        assert isinstance(machine.next_step(0.0), Open)
        machine.opened(number, b"four", sha256=digest, now_s=0.0)
        assert left(machine)
        assert machine.broken
        assert machine.next_step(0.0) == Wait(math.inf)  # an offer without its bytes cannot be closed in order
        machine.reset()
        machine.pace(photos_max=9, bytes_max=1000, wait_s=0.0, now_s=0.0)
    assert isinstance(machine.finished[0].error, PhotoUnreadable)
    assert steps(machine) == []


def test_a_photo_that_changed_keeps_its_new_digest_and_size() -> None:
    machine = session("a")
    (number,) = offers(steps(machine)).values()
    machine.need([number])
    machine.next_step(0.0)
    machine.opened(number, b"four", sha256="second", now_s=0.0)
    machine.reset()
    machine.pace(photos_max=9, bytes_max=1000, wait_s=0.0, now_s=0.0)
    (step,) = steps(machine)
    assert isinstance(step, Offer)
    assert (step.entry.sha256, step.entry.size_bytes) == ("second", 4)


def test_a_photo_that_can_no_longer_be_read_fails_alone_and_the_others_finish_first() -> None:
    machine = session("a", "b")
    numbers = offers(steps(machine))
    machine.need(list(numbers.values()))
    assert isinstance(machine.next_step(0.0), Open)
    machine.unreadable(numbers["a"], PhotoUnreadable("gone"), now_s=0.0)
    assert keys(machine) == ["a"]
    assert [type(step) for step in steps(machine)] == [Open, Chunk]
    assert not left(machine)
    machine.result(numbers["b"], tags=TAGS, now_s=0.0)
    assert left(machine)


def test_photos_are_taken_up_only_as_far_as_the_window_goes() -> None:
    machine = UploadSession(give_up_s=100.0, window=2)
    machine.add(entry("a"), now_s=0.0)
    machine.fail(UploadPhoto(b"b"), PhotoUnreadable("gone"))
    room = [machine.room]
    machine.finished.popleft()
    room.append(machine.room)
    machine.pace(photos_max=99, bytes_max=9, wait_s=0.0, now_s=0.0)
    machine.add(entry("c"), now_s=0.0)
    assert [*room, machine.room] == [False, True, False]


def test_without_a_window_twice_the_pace_is_taken_up() -> None:
    machine = UploadSession(give_up_s=100.0)
    machine.pace(photos_max=20, bytes_max=9, wait_s=0.0, now_s=0.0)
    taken = 0
    while machine.room:
        machine.add(entry(str(taken)), now_s=0.0)
        taken += 1
    assert taken == 40


@dataclass
class Server:
    """What the other side of a random run knows."""

    open: dict[int, object] = field(default_factory=dict)
    bytes: dict[int, int] = field(default_factory=dict)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.sampled_from(["step", "need", "tags", "later", "no", "break", "move_on", "pace"]), max_size=120))
def test_whatever_happens_each_photo_ends_with_exactly_one_result(happens: list[str]) -> None:
    names = [f"photo {number}" for number in range(12)]
    machine = session(*names, photos_max=3, bytes_max=5)
    machine.source_used_up = True
    server, now_s = Server(), 0.0

    def begin() -> None:
        server.open.clear()
        server.bytes.clear()
        machine.reset()
        machine.pace(photos_max=3, bytes_max=5, wait_s=0.0, now_s=now_s)

    def do_steps() -> None:
        for step in steps(machine, now_s=now_s):
            if isinstance(step, Offer):
                assert step.offer_id not in server.open
                server.open[step.offer_id] = step.entry.photo.key
            elif isinstance(step, Chunk):
                server.bytes[step.offer_id] = server.bytes.get(step.offer_id, 0) + len(step.data)
        assert len(server.open) <= 3
        assert len(server.bytes) <= 1

    for what in [*happens, *["step", "tags", "move_on"] * 40]:
        now_s += 1.0
        number = next(iter(server.open), 0)
        if what == "step":
            do_steps()
        elif what == "need":
            machine.need(list(server.open))
        elif what == "break" or (what == "move_on" and left(machine)):
            begin()
        elif what == "pace":
            machine.pace(photos_max=3, bytes_max=5, wait_s=0.5, now_s=now_s)
        elif what == "move_on" and what in happens:
            machine.move_on()
        elif what in ("tags", "later", "no"):
            error = {"later": LATER, "no": TagwrightError("no")}.get(what)
            machine.result(number, tags=None if error else TAGS, error=error, now_s=now_s)
            server.open.pop(number, None)
            server.bytes.pop(number, None)
    assert sorted(map(str, keys(machine))) == sorted(names)
    assert machine.completed

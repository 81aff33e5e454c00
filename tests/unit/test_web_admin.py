"""What administrators' pages work out by themselves, before a template shows it."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from tagwright_client import ImageFilter, Operation, TagChange, Timings
from tagwright_web.durations import Durations, Timed, kind_of
from tagwright_web.failures import Failure
from tagwright_web.pages import second, span
from tagwright_web.views.admin.days import begin_of, end_of
from tagwright_web.views.admin.health import stages
from tagwright_web.views.admin.models import meaning
from tagwright_web.views.admin.operations import changes
from tagwright_web.views.admin.tags import names


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "first page"),
        ("/search", "search"),
        ("/photos/a1", "photo"),
        ("/photos/a1/thumbnail", "thumbnail"),
        ("/photos/a1/other", ""),
        ("/tags/dog", "tags"),
        ("/tags/a/b", "tags"),
        ("/static/htmx.min.js", ""),
        ("/admin", ""),
        ("/nothing", ""),
    ],
)
def test_requests_are_of_few_kinds(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_the_last_durations_of_each_kind_are_told() -> None:
    durations = Durations()
    for took_ms in [10_000] * 100 + list(range(1, 501)):
        durations.add("search", took_ms / 1000)
    durations.add("photo", 0.002)
    photo, search = durations.lasted()
    assert (photo.kind, photo.count, photo.median_ms, photo.p95_ms) == ("photo", 1, 2.0, 2.0)
    assert (search.kind, search.count) == ("search", 500)
    assert search.median_ms == pytest.approx(250.5)
    assert search.p95_ms == pytest.approx(475)


def test_durations_are_added_and_told_by_several_threads() -> None:
    durations = Durations()

    def add() -> None:
        for _ in range(50):
            durations.add("search", 0.1)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
        durations.lasted()
    for thread in threads:
        thread.join()
    assert durations.lasted()[0].count == 400


def test_a_request_that_fails_is_timed_as_well() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        pass

    durations = Durations()
    timed = Timed(failing, durations=durations)
    scopes: list[Scope] = [{"type": "http", "path": "/search"}, {"type": "lifespan"}]
    for scope in scopes:
        with pytest.raises(ZeroDivisionError):
            anyio.run(timed, scope, receive, send)
    assert [each.kind for each in durations.lasted()] == ["search"]


def test_days_are_meant_from_their_first_moment_to_their_last() -> None:
    assert begin_of("2027-01-31") == datetime(2027, 1, 31, tzinfo=timezone.utc)
    assert end_of("2027-01-31") == datetime(2027, 2, 1, tzinfo=timezone.utc)
    assert begin_of("") is end_of("") is None
    assert end_of("9999-12-31") is None


@pytest.mark.parametrize("text", ["tomorrow", "2027-02-30", "31.1.2027", "<b>"])
def test_what_is_no_date_is_refused(text: str) -> None:
    for moment in (begin_of, end_of):
        with pytest.raises(Failure) as refused:
            moment(text)
        assert refused.value.status == 400


def test_the_time_of_a_call_is_divided_and_the_rest_is_the_network() -> None:
    found = stages(Timings(decode_ms=10, queue_ms=None, inference_ms=25, total_ms=50, refinement_ms=5))
    assert [(stage.name, stage.took_ms, stage.x, stage.width) for stage in found] == [
        ("decode", 10, 0, 20),
        ("inference", 25, 20, 50),
        ("refinement", 5, 70, 10),
        ("network", 10, 80, 20),
    ]


def test_stages_that_took_longer_than_all_of_it_still_fill_the_bar() -> None:
    found = stages(Timings(decode_ms=30, queue_ms=0, inference_ms=30, total_ms=50))
    assert [(stage.name, stage.width) for stage in found] == [("decode", 50), ("inference", 50)]
    assert stages(Timings(None, None, None, 0.0)) == ()


def test_changes_of_most_photos_come_first_and_the_widest_fills_its_half() -> None:
    changed = (
        TagChange("dog", 1, 1, 5),
        TagChange("cat", 8, 0, 0),
        TagChange("sky", 0, 4, 0),
        TagChange("sea", 0, 0, 2),
    )
    operation = Operation("1", "SUCCEEDED", "ada", None, None, None, ImageFilter(), "m@1", True, 9, 0, 9, 0, changed)
    found = changes(operation)
    assert [each.tag for each in found] == ["cat", "sky", "dog", "sea"]
    assert (found[0].added_width, found[0].removed_width) == (50, 0)
    assert (found[1].added_width, found[1].removed_width) == (0, 25)


def test_changes_of_scores_alone_have_no_bars() -> None:
    operation = Operation(
        "1", "RUNNING", "ada", None, None, None, ImageFilter(), "m@1", True, 9, 0, 9, 0, (TagChange("sea", 0, 0, 2),)
    )
    assert [(each.added_width, each.removed_width) for each in changes(operation)] == [(0, 0)]


def test_figures_of_models_are_explained_where_they_are_known() -> None:
    assert meaning("map_24") == "mean average precision of 24 labels"
    assert meaning("map_14_low") == "mean average precision of 14 labels: lower end of its 95 % interval"
    assert meaning("ece").startswith("expected calibration error")
    assert meaning("something_new") == ""


def test_a_list_of_tags_is_told_apart_by_commas() -> None:
    assert names(" dog, ,cat,, dog ,big  dog") == ["dog", "cat", "big  dog"]
    assert names("") == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_061, "1 d 1 h"), (-5, "0 s")],
)
def test_spans_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_times_are_told_in_utc_to_the_second() -> None:
    assert second(datetime(2027, 1, 31, 23, 59, 58, 900_000, tzinfo=timezone.utc)) == "2027-01-31 23:59:58"
    assert second(None) == ""

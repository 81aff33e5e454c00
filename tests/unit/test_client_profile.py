"""The profile: every call is in it, from whatever thread, with where its time went."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import fake_search
import fake_tagging
import fake_upload
import pytest
from fake_search import FakeSearch
from fake_tagging import FakeTagging

from tagwright_client import ArgumentInvalid, Client, ClientClosed, ImageRejected, Profile, StageProfile
from tagwright_client._profile import STAGES, Recorder


@pytest.fixture
def fake() -> Iterator[FakeTagging]:
    with fake_tagging.serving() as fake:
        yield fake


@pytest.fixture
def client(fake: FakeTagging) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


@pytest.fixture
def profile() -> Profile:
    return Profile(Recorder())


def counts(profile: Profile) -> dict[str, int]:
    return {call.name: call.count for call in profile.calls}


def test_calls_of_every_thread_are_counted_by_name_while_the_block_runs(client: Client) -> None:
    client.tag(b"before")
    with client.profile() as profile:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(client.tag, [b"dog"] * 8))
        list(client.tag_many([b"dog"] * 3))
        client.refine(b"dog")
        client.models()
    client.tag(b"after")
    assert counts(profile) == {"TagImage": 11, "RefineTags": 1, "ListModels": 1}


def test_a_call_is_told_with_what_the_server_spent_and_the_rest_is_the_way(client: Client) -> None:
    with client.profile() as profile:
        timings = client.refine(b"dog").timings
    (call,) = profile.calls
    assert (call.name, call.count, call.failed) == ("RefineTags", 1, 0)
    assert call.median_ms == call.p95_ms == call.max_ms == call.total_ms == timings.total_ms
    told = {stage.stage: stage.mean_ms for stage in call.stages}
    assert list(told) == [stage for stage in STAGES if stage in told]
    assert (told["decode"], told["queue"], told["inference"], told["refinement"]) == (1.5, 2.5, 3.5, 4.5)
    assert told.get("network", 0.0) == pytest.approx(max(timings.total_ms - 12.0, 0.0))
    assert sum(stage.share for stage in call.stages) == pytest.approx(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        call.count = 2  # type: ignore[misc]


def test_a_search_has_the_time_that_searching_took() -> None:
    with fake_search.serving(FakeSearch()) as fake, Client.connect(fake.url) as client, client.profile() as profile:
        list(client.search())
    (call,) = profile.calls
    assert call.name == "SearchImages"
    assert {"search": 4.25, "store": 0.5}.items() <= {each.stage: each.mean_ms for each in call.stages}.items()


def test_streams_are_calls_too() -> None:
    with (
        fake_tagging.serving(fake_upload.FakeUpload()) as fake,
        Client.connect(fake.url) as client,
        client.profile() as profile,
    ):
        assert len(list(client.upload([b"dog", b"cat"]))) == 2
        left_early = client.upload([b"dog", b"cat"])
        next(left_early)
        left_early.close()
    (call,) = profile.calls
    assert (call.name, call.count) == ("UploadImages", 2)
    assert [stage.stage for stage in call.stages] == ["other"]
    with fake_search.serving(FakeSearch()) as images, Client.connect(images.url) as client:
        images.keep("a")
        with client.profile() as profile:
            client.content("a")
    assert [(call.name, call.count, call.failed) for call in profile.calls] == [("GetImageContent", 1, 0)]


def test_a_call_that_fails_is_counted_one_that_is_never_made_is_not(client: Client) -> None:
    with client.profile() as profile:
        with pytest.raises(ImageRejected):
            client.tag(b"!truncated")
        with pytest.raises(ArgumentInvalid):
            client.tag(b"dog", visibility="NOBODY")
        client.close()
        with pytest.raises(ClientClosed):
            client.tag(b"dog")
    (call,) = profile.calls
    assert (call.count, call.failed, [stage.stage for stage in call.stages]) == (1, 1, ["other"])
    assert "1 call (1 failed)" in str(profile)


def test_profiles_may_overlap_and_a_call_belongs_to_those_in_which_it_began(client: Client, fake: FakeTagging) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def wait(attempt: int, request: object, context: object) -> None:
        if attempt == 1:
            arrived.set()
            assert go_on.wait(10)

    fake.behave = wait
    with ThreadPoolExecutor(1) as pool:
        with client.profile() as outer:
            client.tag(b"dog")
            with client.profile() as inner:
                call = pool.submit(client.tag, b"dog")
                assert arrived.wait(10)
            assert counts(inner) == {}
        with client.profile() as later:
            go_on.set()
            call.result(10)
    assert (counts(outer), counts(inner), counts(later)) == ({"TagImage": 2}, {"TagImage": 1}, {})


def test_nothing_called_is_no_tree(client: Client) -> None:
    with client.profile() as profile:
        pass
    assert (profile.calls, str(profile)) == ((), "no calls")


def test_percentiles_are_those_of_the_calls(profile: Profile) -> None:
    for total_ms in (*range(100, 0, -1), 1000.0):
        profile.add("TagImage", total_ms=total_ms, stages={}, failed=False)
    (call,) = profile.calls
    assert (call.count, call.median_ms, call.p95_ms, call.max_ms, call.total_ms) == (101, 51, 96, 1000, 6050)
    profile.add("TagImage", total_ms=2000.0, stages={}, failed=False)
    assert profile.calls[0].median_ms == 51.5


def test_the_tree_shows_shares_as_bars_and_what_took_most_first(profile: Profile) -> None:
    profile.add("ListTags", total_ms=2.0, stages={}, failed=False)
    for failed in (False, True):
        profile.add("TagImage", total_ms=40.0, stages={"decode": 10.0, "inference": 20.0, "store": 0.0}, failed=failed)
    profile.add("RetagImages", total_ms=2500.0, stages={"store": 2500.0}, failed=False)
    assert str(profile).splitlines() == [
        "RetagImages: 1 call, median 2.50 s, 95 % within 2.50 s, longest 2.50 s, in all 2.50 s",
        "  store         2.50 s  100%  ####################",
        "TagImage: 2 calls (1 failed), median 40.0 ms, 95 % within 40.0 ms, longest 40.0 ms, in all 80.0 ms",
        "  network      10.0 ms   25%  #####",
        "  decode       10.0 ms   25%  #####",
        "  inference    20.0 ms   50%  ##########",
        "ListTags: 1 call, median 2.0 ms, 95 % within 2.0 ms, longest 2.0 ms, in all 2.0 ms",
        "  other         2.0 ms  100%  ####################",
    ]


def test_what_the_server_tells_may_be_new_to_this_client_or_make_no_sense(profile: Profile) -> None:
    stages = {"decode": float("nan"), "queue": -5.0, "store": float("inf"), "wizardry": 3.0, "inference": 30.0}
    profile.add("TagImage", total_ms=20.0, stages=stages, failed=False)
    (call,) = profile.calls
    assert call.stages == (StageProfile("inference", 30.0, 30 / 33), StageProfile("other", 3.0, 3 / 33))

"""The Python client and the real server together: what one promises, the other keeps."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import photos
import pytest
from bundles import LABELS
from servers import PATIENCE_S, FakeBackend, FakeDecoder, Running, running

import tagwright_client as tw
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_client import Client
from tagwright_client._translate import from_status
from tagwright_server import errors


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client.connect(f"grpc://{server.app.address}", token=server.token) as client:
        yield client


@pytest.fixture
def steered_client(steered: Running) -> Iterator[Client]:
    with Client.connect(f"grpc://{steered.app.address}", token=steered.token) as client:
        yield client


@pytest.fixture(scope="module")
def kept(repository: Path) -> Iterator[Running]:
    """A server with five of everything."""
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder()) as serving:
        with Client.connect(f"grpc://{serving.app.address}", token=serving.token) as client:
            for number in range(5):
                client.tag(b"6%d" % number, user_tags=[f"tag {number}"], store=True)
                client.create_user(f"user-{number}", "correct horse battery")
                client.create_api_key(f"key {number}", ["search"])
        yield serving


def test_a_photo_comes_back_with_its_tags_size_and_timings(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(photos.jpeg(120, 80))
    answer = client.tag(path, min_score=0.0, include_embedding=True, include_evidence=True)
    assert {tag.name for tag in answer.tags} == set(LABELS)
    scores = [tag.score for tag in answer.tags if tag.score is not None]
    assert len(scores) == len(LABELS)
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert {(tag.state, tag.source, tag.model_version) for tag in answer.tags} == {("SUGGESTED", "MODEL", "tagger@1")}
    assert {evidence.kind for tag in answer.tags for evidence in tag.evidence} == {"MODEL_SCORE"}
    assert (answer.width, answer.height, answer.format) == (120, 80, "JPEG")
    assert sum(number * number for number in answer.embedding) == pytest.approx(1, abs=1e-4)
    timings = answer.timings
    stages = (timings.decode_ms, timings.queue_ms, timings.inference_ms)
    assert all(ms is not None and ms >= 0 for ms in stages)
    assert sum(ms or 0 for ms in stages) <= timings.total_ms


def test_options_choose_the_tags(client: Client) -> None:
    photo = photos.jpeg()
    everything = [tag.name for tag in client.tag(photo, min_score=0.0).tags]
    assert [tag.name for tag in client.tag(photo, min_score=0.0, max_tags=2).tags] == everything[:2]
    without = client.tag(photo, min_score=0.0, exclude_tags=everything[:1]).tags
    assert [tag.name for tag in without] == everything[1:]
    (last,) = client.tag(photo, min_score=1.0, include_tags=everything[-1:]).tags
    assert last.name == everything[-1]
    assert client.tag(photo, model="plain-cnn").model_version == "plain-cnn@1"


def test_models_say_what_can_be_asked_for(client: Client) -> None:
    served = client.models()
    assert [model.id for model in served] == ["tagger@1", "plain-cnn@1"]
    assert [model.is_default for model in served] == [True, False]
    assert served.engine.startswith("TorchScript")
    assert served.uptime_s > 0
    for model in served:
        assert [label.name for label in model.labels] == list(LABELS)
        assert model.labels[0].thresholds == {0.5: 0.25, 0.7: 0.5, 0.9: None}
        assert model.create_time is not None
        assert model.create_time.tzinfo is not None
        assert len(model.digest) == 64


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (lambda client: client.tag(b"not a photo"), tw.ImageRejected),
        (lambda client: client.tag(b""), tw.ImageRejected),
        (lambda client: client.tag(photos.jpeg()[:500]), tw.ImageRejected),
        (lambda client: client.tag(bytes(25 << 20)), tw.ImageRejected),
        (lambda client: client.tag(bytes(63 << 20)), tw.ImageRejected),
        (lambda client: client.tag(photos.jpeg(), min_score=7), tw.ArgumentInvalid),
        (lambda client: client.tag(photos.jpeg(), min_score=0.5, target_precision=0.5), tw.ArgumentInvalid),
        (lambda client: client.tag(photos.jpeg(), include_tags=["no such label"]), tw.ArgumentInvalid),
        (lambda client: client.tag(photos.jpeg(), model="nobody"), tw.NotFound),
    ],
)
def test_what_the_server_refuses_says_why(
    client: Client, use: Callable[[Client], object], kind: type[tw.TagwrightError]
) -> None:
    with pytest.raises(kind) as caught:
        use(client)
    assert type(caught.value) is kind
    assert caught.value.reason == kind.reason
    assert str(caught.value)
    if kind is tw.ImageRejected:
        assert caught.value.metadata["limit"] in {"format", "bytes", "truncated", "empty"}
    if kind is tw.ArgumentInvalid:
        assert [wrong.field for wrong in caught.value.field_violations] != []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.Overloaded("later", retry_after_s=2.5), tw.Overloaded),
        (errors.ModelUnavailable("gone", retry_after_s=2.5), tw.ModelUnavailable),
        (errors.DeadlineExceeded("too late"), tw.DeadlineExceeded),
        (RuntimeError("a secret"), tw.InternalError),
    ],
)
def test_what_goes_wrong_in_the_server_becomes_an_error_of_the_tree(
    steered_client: Client, backend: FakeBackend, error: Exception, kind: type[tw.TagwrightError]
) -> None:
    backend.error = error
    with pytest.raises(kind) as caught:
        steered_client.tag(b"50")
    assert caught.value.retry_after_s == (2.5 if kind in (tw.Overloaded, tw.ModelUnavailable) else None)
    assert "secret" not in str(caught.value)
    assert (caught.value.error_id is not None) == (kind is tw.InternalError)


def test_the_same_bad_photo_fails_the_same_way_alone_and_in_a_batch(server: Running, client: Client) -> None:
    batch = pb.TagImagesRequest(requests=[pb.TagImageRequest(image=data) for data in (photos.jpeg(), b"not a photo")])
    results = server.tagging.TagImages(batch, timeout=PATIENCE_S).results
    assert results[0].WhichOneof("result") == "tags"
    in_batch = from_status(results[1].error)
    with pytest.raises(tw.ImageRejected) as caught:
        client.tag(b"not a photo")
    assert type(in_batch) is tw.ImageRejected
    assert vars(in_batch) == vars(caught.value)


def test_many_photos_come_back_in_order_and_a_bad_one_fails_alone(client: Client) -> None:
    given = [photos.jpeg(40 + n, 30) if n != 17 else photos.jpeg()[:400] for n in range(40)]
    results = list(client.tag_many(given, concurrency=4, on_error="return"))
    assert [result.index for result in results] == list(range(40))
    assert [result.tags.width for result in results if result.tags] == [40 + n for n in range(40) if n != 17]
    assert isinstance(results[17].error, tw.ImageRejected)


def test_a_small_server_is_not_overrun_by_a_large_folder(repository: Path, decoder: FakeDecoder) -> None:
    with (
        running(repository, backend=FakeBackend(), decoder=decoder, calls_max=2) as small,
        Client.connect(f"grpc://{small.app.address}", token=small.token) as client,
    ):
        results = list(client.tag_many([b"60"] * 60, concurrency=16, on_error="return", timeout_s=PATIENCE_S))
    assert [result.error for result in results] == [None] * 60


def test_leaving_the_loop_does_not_wait_for_a_busy_server(steered_client: Client, backend: FakeBackend) -> None:
    results = steered_client.tag_many(itertools.repeat(b"60"), concurrency=3)
    assert next(results).tags is not None
    backend.latch.close()
    results.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("tagwright-tag-many")] == []


def test_a_time_out_is_kept_while_the_network_is_busy(steered_client: Client, backend: FakeBackend) -> None:
    backend.latch.close()
    with pytest.raises(tw.DeadlineExceeded):
        steered_client.tag(b"50", timeout_s=0.2)


def test_one_client_serves_many_threads(client: Client) -> None:
    photo = photos.jpeg()
    expected = client.tag(photo).tags
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.tag(photo).tags, range(40)))
    assert [[tag.name for tag in tags] for tags in answers] == [[tag.name for tag in expected]] * 40


@pytest.mark.parametrize(("trusted", "peer"), [(("127.0.0.1",), "203.0.113.9"), ((), "127.0.0.1")])
def test_whom_a_program_calls_for_is_in_the_audit_log_if_the_server_trusts_it(
    repository: Path, trusted: tuple[str, ...], peer: str
) -> None:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), trusted_proxies=trusted) as server:
        url = f"grpc://{server.app.address}"
        with Client.connect(url, token=server.token, forwarded_for="203.0.113.9") as client:
            with pytest.raises(tw.LoginFailed):
                client.login("nobody", "a wrong password")
            client.create_user("eve", "correct horse battery")
            actions = ("login.failed", "user.create")
            assert [next(client.list_audit_events(action=action)).peer for action in actions] == [peer, peer]


@pytest.mark.parametrize(
    "list_",
    [
        lambda client, **asked: client.images(owner="admin", **asked),
        lambda client, **asked: client.search("", **asked),
        lambda client, **asked: client.tags(prefix="t", **asked),
        lambda client, **asked: client.list_users(**asked),
        lambda client, **asked: client.list_api_keys(**asked),
        lambda client, **asked: client.list_audit_events(action="key.", **asked),
    ],
)
def test_a_list_is_gone_on_with_by_another_client(kept: Running, list_: Callable[..., tw.Results[object]]) -> None:
    pages: list[tuple[object, ...]] = []
    page_token = ""
    while not pages or page_token:
        with Client.connect(f"grpc://{kept.app.address}", token=kept.token) as client:
            results = list_(client, page_size=2, page_token=page_token)
            pages.append(results.next_page())
            page_token = results.next_page_token
    with Client.connect(f"grpc://{kept.app.address}", token=kept.token) as client:
        assert [each for page in pages for each in page] == list(list_(client))
        assert [len(page) for page in pages[:-1]] == [2] * (len(pages) - 1)
        assert len(pages) > 1
        with pytest.raises(tw.ArgumentInvalid, match="page_token"):
            list_(client, page_token="bm9uZQ==").next_page()


def test_a_server_that_comes_back_is_found_again(repository: Path) -> None:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder()) as first:
        address = str(first.app.address)
        client = Client.connect(f"grpc://{address}", token=first.token)
        assert client.tag(b"60").tags
    with client, pytest.raises(tw.ServerUnreachable):
        client.tag(b"60", timeout_s=5)

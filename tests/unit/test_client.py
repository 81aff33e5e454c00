"""The client's surface: what can be given to it, what comes back, and what it brings along."""

from __future__ import annotations

import dataclasses
import io
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import fake_tagging
import pytest
from fake_tagging import FakeTagging

import tagwright_client
from tagwright.v1 import model_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright_client import (
    ArgumentInvalid,
    Client,
    ClientClosed,
    Evidence,
    FieldViolation,
    ImageRejected,
    PhotoUnreadable,
    Tag,
    TagwrightError,
    Timings,
    _convert,
)


@pytest.fixture
def fake() -> Iterator[FakeTagging]:
    with fake_tagging.serving() as fake:
        yield fake


@pytest.fixture
def client(fake: FakeTagging) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


def test_a_photo_comes_back_as_frozen_values_with_where_the_time_went(client: Client) -> None:
    answer = client.tag(b"dog")
    assert answer.tags == (Tag("dog", 0.75, "SUGGESTED", "MODEL", fake_tagging.MODEL, ()),)
    assert (answer.width, answer.height, answer.format, answer.model_version) == (40, 30, "JPEG", fake_tagging.MODEL)
    assert answer.timings == Timings(1.5, 2.5, 3.5, total_ms=answer.timings.total_ms)
    assert answer.timings.total_ms > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.width = 1  # type: ignore[misc]


def test_a_photo_may_be_a_path_bytes_or_a_binary_file(client: Client, fake: FakeTagging, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"dog")
    with path.open("rb") as file:
        for photo in (path, str(path), b"dog", bytearray(b"dog"), memoryview(b"dog"), io.BytesIO(b"dog"), file):
            client.tag(photo)
    assert [request.image for request in fake.requests] == [b"dog"] * 7


def test_every_option_reaches_the_server_and_none_is_sent_unasked(client: Client, fake: FakeTagging) -> None:
    client.tag(b"dog")
    client.tag(
        b"dog",
        min_score=0.0,
        max_tags=3,
        include_tags=["sky"],
        exclude_tags=("cat",),
        model="fake@1",
        include_embedding=True,
        include_evidence=True,
    )
    client.tag(b"dog", target_precision=0.5)
    bare, full, precise = (request.options for request in fake.requests)
    assert bare == TaggingOptions()
    assert full == TaggingOptions(
        min_score=0.0,
        max_tags=3,
        include_tags=["sky"],
        exclude_tags=["cat"],
        model="fake@1",
        include_embedding=True,
        include_evidence=True,
    )
    assert precise == TaggingOptions(target_precision=0.5)


def test_a_single_string_is_not_taken_for_several_tags(client: Client) -> None:
    with pytest.raises(TypeError, match="include_tags"):
        client.tag(b"dog", include_tags="dog")


def test_evidence_embedding_and_words_of_a_newer_server_come_through() -> None:
    message = fake_tagging.image_tags("dog")
    message.embedding.extend([0.5, -0.5])
    message.tags[0].state = 99  # type: ignore[assignment]
    message.tags[0].evidence.add(kind=tag_pb2.EVIDENCE_KIND_MODEL_SCORE, text="why", value=0.75, threshold=0.5)
    message.tags[0].evidence.add(text="no threshold")
    answer = _convert.photo_tags(message)
    assert answer.embedding == (0.5, -0.5)
    assert answer.tags[0].state == "99"
    assert answer.tags[0].evidence == (
        Evidence("MODEL_SCORE", "why", 0.75, 0.5),
        Evidence("UNSPECIFIED", "no threshold", 0.0, None),
    )


def test_a_server_that_tells_no_timings_leaves_them_open() -> None:
    timings = _convert.timings([("tagwright-decode-ms", "soon")], total_ms=2.0)
    assert timings == Timings(None, None, None, 2.0)


def test_models_are_read_page_by_page(client: Client, fake: FakeTagging) -> None:
    def pages(request: pb.ListModelsRequest, context: object) -> pb.ListModelsResponse:
        if not request.page_token:
            return pb.ListModelsResponse(models=[fake_tagging.model("a", is_default=True)], next_page_token="2")
        return pb.ListModelsResponse(models=[model_pb2.Model(name="b", version="7")], engine="Fake 1.0")

    fake.models = pages
    served = client.models()
    assert [model.id for model in served] == ["a@1", "b@7"]
    assert served.engine == "Fake 1.0"
    first, second = served
    assert first.is_default
    assert first.labels[0].thresholds == {0.9: 0.25}
    assert first.labels[1].thresholds == {0.9: None}
    assert second.create_time is None


def test_a_missing_file_is_an_error_of_the_tree_with_its_cause(
    client: Client, fake: FakeTagging, tmp_path: Path
) -> None:
    for photo in (tmp_path / "none.jpg", tmp_path, "a\0b"):
        with pytest.raises(PhotoUnreadable) as caught:
            client.tag(photo)
        assert isinstance(caught.value.__cause__, (OSError, ValueError))
        assert caught.value.code == ""
    assert fake.requests == []


@pytest.mark.parametrize("photo", [7, None, io.StringIO("text"), ["a.jpg"]])
def test_what_is_no_photo_by_its_type_is_a_type_error(client: Client, photo: object) -> None:
    with pytest.raises(TypeError):
        client.tag(photo)  # type: ignore[arg-type]


def test_a_file_over_the_message_limit_is_refused_here_without_being_read(
    client: Client, fake: FakeTagging, tmp_path: Path
) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(ImageRejected) as caught:
        client.tag(path)
    assert caught.value.metadata["limit"] == "bytes"
    assert caught.value.metadata["actual"] == str(65 << 20)
    assert fake.requests == []


def test_an_endless_file_is_read_no_further_than_the_limit(client: Client, fake: FakeTagging) -> None:
    class Endless(io.RawIOBase):
        asked_bytes = 0

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            Endless.asked_bytes += size
            return bytes(size)

    with pytest.raises(ImageRejected):
        client.tag(Endless())  # type: ignore[arg-type]
    assert Endless.asked_bytes <= 64 << 20
    assert fake.requests == []


def test_photos_below_the_message_limit_are_sent_for_the_server_to_judge(client: Client, fake: FakeTagging) -> None:
    client.tag(b"x" * (25 << 20))
    assert len(fake.requests) == 1


def test_a_closed_client_says_so(client: Client) -> None:
    client.close()
    client.close()
    for use in (lambda: client.tag(b"dog"), client.models, lambda: list(client.tag_many([b"dog"], on_error="return"))):
        with pytest.raises(ClientClosed, match=r"Client\.connect"):
            use()
    assert "closed" in repr(client)


def test_closing_ends_the_calls_under_way_in_other_threads(client: Client, fake: FakeTagging) -> None:
    arrived, ended = threading.Event(), threading.Event()

    def hang(attempt: int, request: object, context: object) -> None:
        context.add_callback(ended.set)  # type: ignore[attr-defined]
        arrived.set()
        ended.wait(10)

    fake.behave = hang
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.tag, b"dog")
        assert arrived.wait(10)
        client.close()
        with pytest.raises(ClientClosed):
            call.result(10)


def test_an_error_survives_pickling() -> None:
    error = ImageRejected(
        "too large", code="INVALID_ARGUMENT", metadata={"limit": "bytes"}, field_violations=[FieldViolation("a", "b")]
    )
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ImageRejected
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_only_what_all_lists_is_public() -> None:
    public = {name for name in vars(tagwright_client) if not name.startswith("_")} - {"annotations"}
    assert public | {"__version__"} == set(tagwright_client.__all__)
    errors = {name for name in public if isinstance(getattr(tagwright_client, name), type)}
    assert {kind.__name__ for kind in TagwrightError.__subclasses__()} <= errors


def test_the_version_is_the_distributions_own() -> None:
    assert tagwright_client.__version__ == version("tagwright-client")


def test_importing_the_client_loads_nothing_heavy() -> None:
    script = "import sys, tagwright_client; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    modules = set(run.stdout.split())
    assert not {"torch", "peewee", "PIL", "numpy", "pydantic", "typer", "rich"} & modules
    assert {name for name in modules if name.startswith("tagwright")} == {"tagwright", "tagwright_client"}


@pytest.mark.parametrize("concurrency", [0, -1])
def test_no_concurrency_is_refused_before_a_photo_is_read(client: Client, concurrency: int) -> None:
    with pytest.raises(ArgumentInvalid):
        client.tag_many(iter([b"dog"]), concurrency=concurrency)

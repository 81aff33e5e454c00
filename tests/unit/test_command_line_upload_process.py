"""The command `upload` as a process of its own, with the SDK and a server on a port: interrupts, kills, terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_images
import fake_tagging
import pytest
from fake_upload import FakeUpload
from kept_photos import run
from terminals import PATIENCE_S, converse

COMMAND = [sys.executable, "-m", "tagwright_admin"]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGWRIGHT_TOKEN", raising=False)
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeUpload]:
    fake = FakeUpload()
    with fake_tagging.serving(fake):
        monkeypatch.setenv("TAGWRIGHT_URL", fake.url)
        yield fake


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.jpg").write_bytes(f"photo {number}".encode())
    (folder / "00.txt").write_text("first")
    return folder


def hang_at(fake: FakeUpload, count: int) -> Callable[[], None]:
    """Have the server store so many photos and then no more; return what waits for that moment."""
    arrived, ended = threading.Event(), threading.Event()

    def hang(stream: Any, offer: Any, data: bytes) -> None:
        if len(fake.stored) >= count:
            arrived.set()
            stream.context.add_callback(ended.set)
            ended.wait(PATIENCE_S)

    fake.on_photo = hang

    def wait() -> None:
        assert arrived.wait(PATIENCE_S)
        fake.on_photo = lambda stream, offer, data: None

    return wait


def _hear_interrupts() -> None:
    # A test run in the background of a shell has them ignored, and passes it on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_the_same_command_goes_on(fake: FakeUpload, photos: Path, number: signal.Signals) -> None:
    wait = hang_at(fake, 7)
    with subprocess.Popen(
        [*COMMAND, "upload", str(photos)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_hear_interrupts
    ) as process:
        wait()
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE_S)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert err.decode().splitlines()[-1] == "interrupted; run the same command again to go on where it ended"
    stored = set(fake.stored)
    fake.streams.clear()
    done = run("upload", photos)
    assert (done.code, done.count("photos"), done.stderr) == (0, "20", "")
    assert len(fake.stored) == 20
    assert int(done.count("already there")) >= len(stored) - fake.photos
    assert list(fake.streams[0].offers[0].user_tags) == ["first"]
    assert not Path("upload-failures.jsonl").exists()


def test_a_server_that_sends_on_to_a_new_stream_is_not_noticed(fake: FakeUpload, photos: Path) -> None:
    def move_on(stream: Any, offer: Any) -> None:
        if stream.number == 0 and len(stream.offers) == 5:
            stream.move_on()

    fake.on_offer = move_on
    done = run("upload", photos, "--json")
    assert (done.code, len(done.lines)) == (0, 20)
    assert len(fake.streams) == 2


def test_on_a_terminal_there_are_a_bar_and_a_summary(fake: FakeUpload, photos: Path) -> None:
    (photos / "07.jpg").write_bytes(b"!truncated")
    shown, exit_code = converse(["upload", str(photos)], [], env={**os.environ, "COLUMNS": "200"})
    assert exit_code == 1
    assert "07.jpg: no photo" in shown
    assert "failed: IMAGE_REJECTED" in shown
    summary = {line.rsplit(None, 1)[0].strip(): line.rsplit(None, 1)[-1] for line in shown.splitlines() if "  " in line}
    assert summary["stored"] == "19"


def test_one_server_after_the_other_has_a_journal_of_its_own(
    fake: FakeUpload, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("upload", photos).code == 0
    with fake_tagging.serving(FakeUpload()) as other:
        assert isinstance(other, FakeUpload)
        assert run("upload", photos, f"--url={other.url}").count("stored") == "20"
    journals = list((tmp_path / "state" / "tagwright" / "uploads").iterdir())
    assert len(journals) == 2
    for path in journals:
        entries = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert {entry["path"] for entry in entries} == {str(path) for path in photos.glob("*.jpg")}


def test_a_server_that_is_not_there_is_one_line_and_a_hint(photos: Path) -> None:
    done = run("models", "--url=grpc://127.0.0.1:1")
    assert (done.code, len(done.stderr.splitlines())) == (1, 1)


ONE = f"{1:032x}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "--tag=dog"],
        ["ls", "--json"],
        ["show", ONE],
        ["review", ONE, "--add=cat", "--confirm=dog"],
        ["set", ONE, "--shared", "--author=Ada"],
        ["get", ONE],
        ["get", ONE, "--out=x.jpg", "--thumbnail"],
        ["rm", ONE, "--yes"],
        ["tags"],
        ["tags", "rules", "dog", "--parent=animal"],
        ["tags", "rename", "dog", "hound"],
        ["tags", "merge", "dog", "--into=hound"],
        ["retag", "--since=1d", "--no-wait"],
        ["operations"],
        ["export", "--format=jsonl", "--out=x"],
        ["export", "--format=xmp", "--out=x"],
    ],
    ids=" ".join,
)
def test_every_command_says_to_the_sdk_what_the_sdk_takes(arguments: list[str]) -> None:
    fake = fake_images.FakeImages()
    fake.keep(ONE)
    with fake_tagging.serving(fake):
        done = run(*arguments, f"--url={fake.url}")
    assert (done.code, [line for line in done.stderr.splitlines() if "written" not in line]) == (0, [])

"""The `tagwright` command as people and scripts meet it: a process of its own, its output and its exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_tagging
import photos
import pytest
from fake_tagging import FakeTagging
from servers import PATIENCE_S, Running
from typer.testing import CliRunner

from tagwright_admin.commands import app

COMMAND = [sys.executable, "-m", "tagwright_admin"]


@dataclass(frozen=True)
class Done:
    """How the command ended and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(autouse=True)
def nobody_signed_in(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer has signed in to and set is not there."""
    for name in ("TAGWRIGHT_URL", "TAGWRIGHT_TOKEN", "TAGWRIGHT_CA_FILE", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))


def tagwright(*arguments: str | Path, **environment: str) -> Done:
    """Run the command to its end in a process of its own."""
    command, env = [*COMMAND, *arguments], os.environ | environment
    done = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", timeout=PATIENCE_S * 6, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def here(*arguments: str | Path, url: str = "") -> Done:
    """Run the command to its end in this process, which is quicker; only the way in through `main` is not taken."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"TAGWRIGHT_URL": url})
    return Done(done.exit_code, done.stdout, done.stderr)


def lines(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def fake() -> Iterator[FakeTagging]:
    with fake_tagging.serving() as fake:
        yield fake


@pytest.fixture
def url(server: Running, monkeypatch: pytest.MonkeyPatch) -> str:
    """A real server, and the token that it asks for in the environment."""
    monkeypatch.setenv("TAGWRIGHT_TOKEN", server.token)
    return f"--url=grpc://{server.app.address}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, one in a folder below, and a file that is none."""
    (tmp_path / "below").mkdir()
    (tmp_path / "b.jpg").write_bytes(photos.jpeg(60, 40))
    (tmp_path / "below" / "a.PNG").write_bytes(photos.encoded(photos.scene(50, 70)))
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def test_a_folder_of_photos_is_shown_as_tables(url: str, folder: Path) -> None:
    done = tagwright("tag", url, "--min-score=0", folder)
    assert (done.returncode, done.stderr) == (0, "")
    headings = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [heading.split("  ")[0] for heading in headings] == [str(folder / "b.jpg"), str(folder / "below" / "a.PNG")]
    assert "60 x 40 JPEG, tagger@1" in headings[0]
    assert "50 x 70 PNG, tagger@1" in headings[1]
    tags = [line.split() for line in done.stdout.splitlines() if line.startswith(" ")]
    assert len(tags) == 10
    assert all(0 <= float(columns[-1]) <= 1 for columns in tags)
    assert "█" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_is_one_object_a_photo_with_errors_in_their_place(url: str, folder: Path) -> None:
    broken, missing = folder / "broken.jpg", folder / "missing.jpg"
    broken.write_bytes(photos.jpeg()[:400])
    done = here("tag", url, "--json", "--max-tags=1", "--min-score=0", "--evidence", folder / "b.jpg", broken, missing)
    assert done.returncode == 1
    good, rejected, unreadable = lines(done)
    assert set(good) == {"photo", "tags", "model_version", "width", "height", "format", "timings"}
    assert (good["photo"], good["width"], good["height"], good["format"]) == (str(folder / "b.jpg"), 60, 40, "JPEG")
    assert set(good["timings"]) == {"decode_ms", "queue_ms", "inference_ms", "total_ms"}
    (tag,) = good["tags"]
    assert set(tag) == {"name", "score", "state", "source", "model_version", "evidence"}
    assert tag["evidence"][0]["kind"] == "MODEL_SCORE"
    assert set(rejected) == set(unreadable) == {"photo", "error"}
    assert (rejected["photo"], rejected["error"]["reason"]) == (str(broken), "IMAGE_REJECTED")
    assert rejected["error"]["code"] == "INVALID_ARGUMENT"
    assert rejected["error"]["metadata"]["limit"] == "truncated"
    assert (unreadable["photo"], unreadable["error"]["reason"]) == (str(missing), "PHOTO_UNREADABLE")


def test_a_photo_that_fails_is_named_and_the_others_are_shown(url: str, folder: Path) -> None:
    done = here("tag", url, folder / "notes.txt", folder / "b.jpg")
    assert done.returncode == 1
    assert str(folder / "b.jpg") in done.stdout
    assert str(folder / "notes.txt") in done.stderr
    assert "1 of 2 photos were not tagged" in done.stderr


def test_the_options_reach_the_server(fake: FakeTagging, folder: Path) -> None:
    options = ["--target-precision=0.5", "--model=plain-cnn@1", "--include=dog", "--include=sky", "--exclude=people"]
    done = here("tag", f"--url={fake.url}", *options, "--max-tags=3", "--concurrency=1", folder / "b.jpg")
    assert done.returncode == 0
    (request,) = fake.requests
    assert request.options.target_precision == 0.5
    assert request.options.model == "plain-cnn@1"
    assert list(request.options.include_tags) == ["dog", "sky"]
    assert list(request.options.exclude_tags) == ["people"]
    assert request.options.max_tags == 3


def test_the_address_may_come_from_the_environment(fake: FakeTagging, folder: Path) -> None:
    done = here("tag", folder / "b.jpg", url=fake.url)
    assert done.returncode == 0
    assert len(fake.requests) == 1


def test_a_photo_may_come_from_standard_input(url: str) -> None:
    command = [*COMMAND, "tag", url, "--json", "-"]
    done = subprocess.run(command, input=photos.jpeg(33, 22), capture_output=True, check=True)
    shown = json.loads(done.stdout)
    assert (shown["photo"], shown["width"]) == ("-", 33)


@pytest.mark.parametrize(
    "arguments",
    [
        ["tag"],
        ["tag", "--min-score=7", "x.jpg"],
        ["tag", "--concurrency=0", "x.jpg"],
        ["tag", "--no-such-option", "x.jpg"],
        ["tag", "--url=localhost", "x.jpg"],
        ["no-such-command"],
        [],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str]) -> None:
    assert here(*arguments).returncode == 2


def test_a_wrong_command_line_says_what_is_wrong_on_standard_error() -> None:
    done = tagwright("tag")
    assert (done.returncode, done.stdout) == (2, "")
    assert "PATH" in done.stderr


@pytest.mark.parametrize("option", ["--model=nobody", "--include=no-such-label", "--target-precision=0.123"])
def test_an_option_that_the_server_refuses_is_told_once_and_ends_with_2(url: str, folder: Path, option: str) -> None:
    done = here("tag", url, option, *[folder / "b.jpg"] * 20)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_no_server_is_told_once_with_what_to_do(folder: Path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        nobody = f"grpc://127.0.0.1:{taken.getsockname()[1]}"
        for arguments in (["tag", *[str(folder)] * 4], ["models"]):
            done = here(*arguments, "--url", nobody)
            assert (done.returncode, done.stdout) == (1, "")
            assert f"No server at {nobody}; start one with `make serve` or `tagwright-server`" in done.stderr
            assert len(done.stderr.splitlines()) == 1


def test_a_folder_without_photos_is_no_success(url: str, tmp_path: Path) -> None:
    done = here("tag", url, tmp_path)
    assert done.returncode == 1
    assert "no photos" in done.stderr
    done = here("tag", url, "--json", tmp_path)
    assert lines(done)[0]["error"]["reason"] == "PHOTO_UNREADABLE"


def test_odd_file_names_cannot_reach_the_terminal_and_survive_json(fake: FakeTagging, tmp_path: Path) -> None:
    odd = [b"\x1b[31mred\x07.jpg", b"line\nbreak.jpg", b"\xff\xfe.jpg", "[bold]ü‮.jpg".encode(), b"-dash.jpg"]
    for name in odd:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(
            b"!format" if b"dash" in name else b"dog"
        )
    done = tagwright("tag", f"--url={fake.url}", tmp_path)
    assert done.returncode == 1
    assert not {"\x1b", "\x07", "‮"} & set(done.stdout + done.stderr)
    assert r"\x1b[31mred\x07.jpg" in done.stdout
    assert "[bold]ü" in done.stdout
    assert len([line for line in done.stdout.splitlines() if ".jpg" in line]) == 4
    assert "-dash.jpg" in done.stderr
    shown = lines(tagwright("tag", f"--url={fake.url}", "--json", tmp_path))
    assert {os.path.basename(os.fsencode(line["photo"])) for line in shown} == set(odd)


def test_tags_with_control_characters_are_shown_escaped(fake: FakeTagging, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"sky\x1b]0;owned\x07")
    done = here("tag", f"--url={fake.url}", tmp_path)
    assert done.returncode == 0
    assert r"sky\x1b]0;owned\x07" in done.stdout


def test_a_terminal_without_unicode_still_shows_bars(url: str, folder: Path) -> None:
    done = tagwright("tag", url, "--min-score=0", folder, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "#" in done.stdout


def test_whoever_stops_reading_ends_it_quietly(fake: FakeTagging, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"dog")
    for json_flag in ([], ["--json"]):
        command = [*COMMAND, "tag", f"--url={fake.url}", *json_flag, *[str(tmp_path)] * 2000]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(PATIENCE_S * 3) == 1


def _hear_interrupts() -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a test run in the background of a shell has them ignored, and passes it on


def test_an_interrupt_ends_it_at_once_with_130(fake: FakeTagging, tmp_path: Path) -> None:
    arrived, ended = threading.Event(), threading.Event()

    def hang(attempt: int, request: object, context: Any) -> None:
        context.add_callback(ended.set)
        arrived.set()
        ended.wait(PATIENCE_S)

    fake.behave = hang
    (tmp_path / "a.jpg").write_bytes(b"dog")
    command = [*COMMAND, "tag", f"--url={fake.url}", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_hear_interrupts
    ) as process:
        assert arrived.wait(PATIENCE_S * 3)  # Python has to start first
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert out == b""
    assert err.decode().splitlines() == ["interrupted: 0 of 1 photos tagged"]


def on_a_terminal(*arguments: str, columns: int = 100) -> tuple[str, int]:
    """Run the command with standard output and error on one terminal; return what that showed, and the exit code."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "50"}
    process = subprocess.Popen([*COMMAND, *arguments], env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = bytearray()
    try:
        while chunk := os.read(ours, 65_536):
            shown += chunk
    except OSError:  # how Linux says that the other side is gone
        pass
    finally:
        os.close(ours)
    return shown.decode(), process.wait(PATIENCE_S * 3)


def test_many_photos_show_a_progress_bar_on_a_terminal(fake: FakeTagging, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.jpg").write_bytes(b"dog")
    shown, exit_code = on_a_terminal("tag", f"--url={fake.url}", str(tmp_path))
    assert exit_code == 0
    assert "12/12" in shown
    assert shown.count("dog") == 12
    few, exit_code = on_a_terminal("tag", f"--url={fake.url}", str(tmp_path / "1.jpg"))
    assert exit_code == 0
    assert "tagging" not in few


def test_no_progress_bar_goes_into_a_file(fake: FakeTagging, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.jpg").write_bytes(b"dog")
    done = here("tag", f"--url={fake.url}", "--json", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lines(done)) == 12


def test_models_are_a_table_for_people_and_json_for_programs(url: str) -> None:
    done = here("models", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "TorchScript" in done.stdout
    assert "tagger@1 (default)" in done.stdout
    assert "plain-cnn@1" in done.stdout
    labels = here("models", url, "--labels").stdout
    assert "for 90% right" in labels
    assert "never" in labels
    first, second = lines(here("models", url, "--json"))
    assert (first["model"], first["is_default"], second["model"]) == ("tagger@1", True, "plain-cnn@1")
    assert first["engine"].startswith("TorchScript")
    assert first["labels"][0]["thresholds"] == {"0.5": 0.25, "0.7": 0.5, "0.9": None}
    assert len(first["digest"]) == 64


def test_the_version_is_shown() -> None:
    done = tagwright("--version")
    assert (done.returncode, done.stdout) == (0, "tagwright 0.1.0\n")

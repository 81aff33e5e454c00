"""`tagwright upload` and what follows it, against real servers: killed and run again, exported, imported elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import photos
import pytest
from servers import PATIENCE_S, FakeDecoder, Running, running
from typer.testing import CliRunner

from tagwright_admin.commands import app
from tagwright_client import Client, Image

COUNT = 60


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the developer has is seen or changed, and failures are written here."""
    for name in ("TAGWRIGHT_URL", "TAGWRIGHT_TOKEN", "TAGWRIGHT_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fresh(repository: Path) -> Iterator[Running]:
    """A server of real decoding processes and small networks, with nothing in it."""
    with running(repository, decode_workers=1) as serving:
        yield serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos that differ, each with a tag beside it."""
    there = tmp_path / "photos"
    there.mkdir()
    for number in range(COUNT):
        (there / f"{number:03}.jpg").write_bytes(photos.jpeg(32, 24, seed=number))
        (there / f"{number:03}.txt").write_text(f"number {number}\nEvery One\n")
    return there


def environment(server: Running) -> dict[str, str]:
    return {"TAGWRIGHT_URL": f"grpc://{server.app.address}", "TAGWRIGHT_TOKEN": server.token}


def tagwright(server: Running, *words: str | Path) -> str:
    """Run a command that has to work; return what it wrote."""
    done = CliRunner().invoke(app, [str(word) for word in words], env=environment(server))
    assert done.exit_code == 0, done.output
    return done.stdout


def kept(server: Running) -> dict[str, Image]:
    """What a server keeps, by digest."""
    with Client.connect(f"grpc://{server.app.address}", token=server.token) as client:
        images = list(client.images())
    assert len({image.source_sha256 for image in images}) == len(images)
    return {image.source_sha256: image for image in images}


def said(image: Image) -> set[tuple[str, str]]:
    return {(tag.name, tag.state) for tag in image.tags}


@pytest.mark.parametrize("after", [1, COUNT // 2, COUNT - 5])
def test_an_upload_that_was_killed_sends_only_the_rest_when_it_is_run_again(
    fresh: Running, folder: Path, after: int
) -> None:
    command = [sys.executable, "-m", "tagwright_admin", "upload", "--json", str(folder)]
    told: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment(fresh)
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line)
            if len(told) == after:
                process.kill()
                break
        told += [line for line in process.stdout if line.endswith("\n")]
    before = kept(fresh)
    assert {json.loads(line)["sha256"] for line in told} <= before.keys()

    lines = [json.loads(line) for line in tagwright(fresh, "upload", "--json", folder).splitlines()]
    assert len(lines) == COUNT
    # What was under way when it was killed may have come to its end after we looked.
    assert before.keys().isdisjoint(line["sha256"] for line in lines if line["sent_bytes"])
    after_all = kept(fresh)
    assert len(after_all) == COUNT
    assert all({"every one"} <= {tag.name for tag in image.tags} for image in after_all.values())
    assert {digest: image.id for digest, image in before.items()}.items() <= {
        digest: image.id for digest, image in after_all.items()
    }.items()
    again = [json.loads(line) for line in tagwright(fresh, "upload", "--json", folder).splitlines()]
    assert sum(line["sent_bytes"] for line in again) == 0


def test_a_server_that_comes_back_is_gone_on_with(repository: Path, folder: Path, tmp_path: Path) -> None:
    decoder = FakeDecoder()  # closed: whatever came is not looked at
    decoder.latch.close()
    with running(repository, decoder=decoder, data_folder=tmp_path / "data", stop_drain_s=0.1) as server:
        address = str(server.app.address)
        command = [sys.executable, "-m", "tagwright_admin", "upload", "--json", str(folder)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment(server)
        )
        decoder.latch.await_arrivals()
        threading.Timer(0.5, decoder.latch.open).start()
    with running(repository, decode_workers=1, data_folder=tmp_path / "data", listen=address) as server:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        assert len(out.splitlines()) == COUNT
        assert len(kept(server)) == COUNT


@pytest.mark.parametrize("kind", ["jsonl", "csv", "xmp"])
def test_tags_and_decisions_move_to_another_server(
    fresh: Running, repository: Path, folder: Path, tmp_path: Path, kind: str
) -> None:
    tagwright(fresh, "upload", folder)
    first, second, *_ = (image.id for image in kept(fresh).values())
    tagwright(fresh, "review", first, "--confirm", "every one", "--add", "=1+1", "--add", "<b>&")
    tagwright(fresh, "review", second, "--reject", "every one", "--add", "שמש")
    place = tmp_path / ("sidecars" if kind == "xmp" else f"tags.{kind}")
    tagwright(fresh, "export", "--format", kind, "--out", place)
    with running(repository, decode_workers=1) as other:
        tagwright(other, "upload", "--no-sidecars", folder)
        tagwright(other, "import", place)
        theirs, ours = kept(other), kept(fresh)
        assert {digest: said(image) for digest, image in theirs.items()} == {
            digest: said(image) for digest, image in ours.items()
        }

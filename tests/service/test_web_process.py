"""`tagwright-web` as a program: how it starts, what it says, what it weighs, and a server that goes away behind it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import accounts
import bundles
import pytest
from servers import ADMIN, PATIENCE_S
from visitors import Visitor
from websites import website

PAGE_BYTES_MAX = 100_000  # of a first page, without its photos


@contextmanager
def _web(*flags: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tagwright_web", *map(str, flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(log: IO[str] | None, pattern: str) -> re.Match[str]:
    assert log is not None
    said = []
    for line in log:
        said.append(line)
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"it never said {pattern!r} but:\n{''.join(said)}")


def _with_server(folder: Path) -> tuple[object, ...]:
    repository = folder / "models"
    bundles.write_repository(repository)
    own = ("--listen", "127.0.0.1:0", "--with-server", "--")
    return (*own, "--listen", "127.0.0.1:0", "--inference", "local", "--decode-workers", 1,
            "--model-repository", repository, "--data-folder", folder / "data")  # fmt: skip


def test_with_a_server_beside_it_one_command_does_all_and_ends_all(tmp_path: Path) -> None:
    flags = _with_server(tmp_path)
    accounts.signed_in(tmp_path / "data")
    with _web(*flags) as process:
        server = _line(process.stderr, r"process (\d+)")[1]
        address = _line(process.stderr, r"pages on (http://\S+), of the server at grpc://127\.0\.0\.1:\d+")[1]
        visitor = Visitor(address)
        assert visitor.sign_in(ADMIN).status == 303
        assert "No photos yet" in visitor.get("/").words
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert not Path(f"/proc/{server}").exists()


def test_the_pages_end_when_the_server_beside_them_dies(tmp_path: Path) -> None:
    with _web(*_with_server(tmp_path)) as process:
        server = int(_line(process.stderr, r"process (\d+)")[1])
        _line(process.stderr, "pages on")
        subprocess.run(["kill", "-9", str(server)], check=True)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 2
        assert "the server has ended (exit code -9)" in said


def test_a_server_that_cannot_start_is_told(tmp_path: Path) -> None:
    own = ("--listen", "127.0.0.1:0", "--with-server", "--")
    with _web(*own, "--model-repository", tmp_path / "none") as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "the server could not start (exit code 2), see above" in said


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--listen", "x"], "'x' is not HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "is not HOST:PORT"),
        (["--listen", "0.0.0.0:0"], "without TLS passwords could be read"),
        (["--tls-key", "none.pem"], "--tls-certificate and --tls-key go together"),
        (["--tls-key", "none.pem", "--tls-certificate", "none.pem"], "there is no file none.pem"),
        (["--trusted-proxies", "*"], "'*' is no address and no network"),
        (["--trusted-proxies", "10.0.0.5/8"], "'10.0.0.5/8' is no address and no network"),
        (["--", "--listen", "127.0.0.1:0"], "only with --with-server"),
        (["--server", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"], "grpc://"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(flags: list[str], why: str) -> None:
    with _web(*flags) as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, said
    assert why in said.splitlines()[-1]


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with website(tmp_path, photos=0) as site, _web("--listen", site.address.removeprefix("http://")) as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "cannot listen on 127.0.0.1:" in said


def test_a_first_page_is_light_and_its_files_are_kept_for_ever(tmp_path: Path) -> None:
    with website(tmp_path, photos=60) as site:
        visitor = Visitor(site.address)
        visitor.sign_in(site.somebody().name)
        packed = {"Accept_Encoding": "gzip"}
        home = visitor.get("/", **packed)
        files = re.findall(r'(?:src|href)="(/static/[^"]+)"', home.text)
        answers = [visitor.get(path, **packed) for path in dict.fromkeys(files)]
        weight = len(home.body) + sum(len(answer.body) for answer in answers)
        print(f"a first page: {weight:,} bytes in {1 + len(answers)} answers")
        assert weight < PAGE_BYTES_MAX
        assert len(re.findall("/thumbnail", home.text)) == 48  # of 60: the rest comes as one scrolls
        for answer in answers:
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_when_the_server_is_away_the_pages_say_so_and_come_back_with_it(tmp_path: Path) -> None:
    with website(tmp_path, photos=0) as site:
        visitor = Visitor(site.address)
        visitor.sign_in(site.somebody().name)
        assert visitor.get("/").status == 200
        site.app.stop()
        gone = visitor.get("/")
        assert gone.status == 503
        assert "the server behind them does not answer" in gone.words
        assert visitor.get("/sign-in").status == 200
        assert visitor.sign_in("ada").status == 503

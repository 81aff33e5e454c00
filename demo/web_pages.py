"""The last part of `make demo`: the web pages of its server, really asked for before their address is shown."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, Request, build_opener

from rich.console import Console
from rich.text import Text

_READY_WITHIN_S = 60.0
_STOPPED_WITHIN_S = 30.0
_ON = re.compile(r"pages on (http://\S+),")
_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
_PICTURE = re.compile(r'<img src="(/photos/[^"]+/thumbnail)"')


class PagesError(Exception):
    """The pages do not work; the text says what is wrong."""


def show(url: str, username: str, password: str, log: Path, out: Console) -> None:
    """Serve the pages of the server at `url`, look at them as a browser would, and show where they are.

    At a terminal they stay until Ctrl-C, else they end.
    """
    with _running(url, log) as address:
        photos = _look(address, username, password)
        out.print(Text("The web pages:", style="bold"), Text(address, style="bold underline"))
        out.print(f"  sign in as {username} with {password}; {photos} photos are on the first page")
        if sys.stdin.isatty() and out.is_terminal:
            out.print("  They are yours until Ctrl-C.")
            _stay()
        out.print()


@contextmanager
def _running(url: str, log: Path) -> Iterator[str]:
    command = Path(sys.executable).parent / "tagwright-web"
    if not command.is_file():
        raise PagesError(f"there is no {command.name} beside {sys.executable}; `make demo` installs it")
    with log.open("wb") as output:
        pages = subprocess.Popen(
            [command, "--listen=127.0.0.1:0", f"--server={url}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the demo, which ends them in order
        )
    try:
        yield _address(pages, log)
    finally:
        pages.terminate()
        try:
            pages.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            pages.kill()
            pages.wait()


def _address(pages: subprocess.Popen[bytes], log: Path) -> str:
    pause = threading.Event()
    for _ in range(int(_READY_WITHIN_S / 0.1)):
        if match := _ON.search(log.read_text(encoding="utf-8", errors="replace")):
            return match[1]
        if pages.poll() is not None:
            break
        pause.wait(0.1)
    raise PagesError(f"the web pages could not start: {log.read_text(encoding='utf-8', errors='replace').strip()}")


def _look(address: str, username: str, password: str) -> int:
    """Sign in and load the first page and one of its photos; return how many there are."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()), ProxyHandler({}))
    form = _FORM_TOKEN.search(_load(browser, f"{address}/sign-in"))
    if form is None:
        raise PagesError("the web pages show no form to sign in")
    filled_in = urlencode({"form_token": form[1], "username": username, "password": password}).encode()
    pictures = _PICTURE.findall(_load(browser, f"{address}/sign-in", filled_in))
    if not pictures:
        raise PagesError("the web pages show no photos")
    with browser.open(f"{address}{pictures[0]}", timeout=_READY_WITHIN_S) as answer:
        if answer.headers.get_content_type() != "image/jpeg":
            raise PagesError("the web pages' photos are no photos")
    return len(pictures)


def _load(browser: OpenerDirector, address: str, form: bytes | None = None) -> str:
    with browser.open(Request(address, data=form), timeout=_READY_WITHIN_S) as answer:
        return str(answer.read().decode())


def _stay() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return

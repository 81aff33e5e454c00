"""A server of our own beside the pages, for one machine: `tagwright-web --with-server`, which `make serve` runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tagwright_web.settings import SettingsError

_COMMAND = "tagwright-server"
_LISTENING = re.compile(r"listening on ([^\s,]+)(, TLS)?")
_STOP_S = 30.0  # the server itself gives calls 20 s


@contextmanager
def server_beside(arguments: Sequence[str], on_end: Callable[[], None]) -> Iterator[str]:
    """Run a server with these flags while the block lasts; gives its URL once it listens.

    What it logs goes to standard error as it comes. `on_end` is called when it ends by itself. Raises SettingsError
    where there is none, or where it cannot start.
    """
    process = subprocess.Popen([_command(), *arguments], stderr=subprocess.PIPE, text=True, errors="replace")
    listening, url = threading.Event(), ""

    def pass_on() -> None:
        nonlocal url
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            if not url and (match := _LISTENING.search(line)):
                url = _url(match[1], secure=match[2] is not None)
                listening.set()
        listening.set()
        if url:
            on_end()

    reader = threading.Thread(target=pass_on, name="log of the server", daemon=True)
    reader.start()
    try:
        listening.wait()
        if not url:
            raise SettingsError(f"the server could not start (exit code {process.wait()}), see above")
        yield url
    finally:
        ended = process.poll()
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(1.0)
        if url and ended:
            raise SettingsError(f"the server has ended (exit code {ended}), see above")


def _command() -> str:
    beside = Path(sys.executable).parent / _COMMAND
    found = str(beside) if beside.is_file() else shutil.which(_COMMAND)
    if found is None:
        raise SettingsError(f"there is no {_COMMAND} here: pip install {_COMMAND}, or leave out --with-server")
    return found


def _url(address: str, *, secure: bool) -> str:
    if address.startswith("unix:"):
        return address
    here = re.sub(r"^(0\.0\.0\.0|\[::\])(?=:)", "127.0.0.1", address)
    return f"{'grpcs' if secure else 'grpc'}://{here}"

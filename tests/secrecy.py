"""Secrets may be in no log: a watch over every record of a test run, and the forms in which a secret could hide.

What was found is told without the secret itself, because the report of a test is a log as well.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import threading
from collections.abc import Iterable

from servers import PASSWORD

_TOKEN = re.compile(r"tw[sk]_[A-Za-z0-9_-]{43}")
_OURS = ("tagwright_server", "tagwright_client")
_SHORTEST = 8  # characters; shorter ones would be found by chance


class Watch(logging.Handler):
    """Reads each record as a log would show it, with its traceback, and notes those that hold a secret."""

    def __init__(self, *passwords: str) -> None:
        super().__init__(logging.DEBUG)
        self._passwords: set[str] = set()
        self._found: list[str] = []
        self._access = threading.Lock()
        self.know(*passwords)

    def know(self, *passwords: str) -> None:
        """Look for these as well from now on."""
        assert all(len(password) >= _SHORTEST for password in passwords)
        self._passwords.update(passwords)

    def emit(self, record: logging.LogRecord) -> None:
        """Note the record if it holds a secret."""
        shown = _shown(record)
        clean = _TOKEN.sub("[a token]", shown)
        for password in sorted(self._passwords, key=len, reverse=True):
            clean = clean.replace(password, "[a password]")
        if clean != shown:
            with self._access:
                self._found.append(f"{record.name}, {record.pathname}:{record.lineno}: {clean}")

    def take(self) -> list[str]:
        """Return what was found since the last time, without the secrets."""
        with self._access:
            found, self._found = self._found, []
        return found

    def begin(self) -> None:
        """See every record that reaches the root logger, and all that we could ever log."""
        logging.getLogger().addHandler(self)
        for name in _OURS:
            logging.getLogger(name).setLevel(logging.DEBUG)

    def end(self) -> None:
        """See no more."""
        logging.getLogger().removeHandler(self)
        for name in _OURS:
            logging.getLogger(name).setLevel(logging.NOTSET)


WATCH = Watch(PASSWORD)


def _shown(record: logging.LogRecord) -> str:
    try:
        return logging.Formatter().format(record)
    except (
        TypeError,
        ValueError,
        KeyError,
    ):  # it does not fit its own text; its parts are shown by logging all the same
        return f"{record.msg!r} {record.args!r}"


def holds(dump: bytes, secret: bytes) -> bool:
    """Whether a secret is in there: as it is or case-folded, in hexadecimal, in Base64 anywhere in a longer text."""
    return any(form in dump for form in _forms(secret))


def found(dump: bytes, secrets: Iterable[bytes]) -> list[bytes]:
    """Return the secrets that are in there."""
    return [secret for secret in secrets if holds(dump, secret)]


def token_forms(token: str) -> list[bytes]:
    """Return a token and the random bytes that it is made of."""
    random = token[4:]
    return [token.encode(), random.encode(), base64.urlsafe_b64decode(random + "=" * (-len(random) % 4))]


def _forms(secret: bytes) -> set[bytes]:
    assert len(secret) >= _SHORTEST
    texts = {secret, secret.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")}
    forms = set(texts)
    for text in texts:
        forms |= {binascii.hexlify(text), binascii.hexlify(text).upper()}
        for shift in range(3):  # where it begins in a group of three bytes
            coded = base64.b64encode(bytes(shift) + text)
            # The characters at both ends also depend on what is beside it.
            inner = coded[-(-shift * 8 // 6) : (shift + len(text)) * 8 // 6]
            forms |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return forms

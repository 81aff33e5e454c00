"""Somebody with a browser that runs no script: HTTP by hand, so that a test can also send what no browser would."""

from __future__ import annotations

import gzip
import http.client
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from servers import PASSWORD, PATIENCE_S

_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@dataclass
class Page:
    """An answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        packed = self.headers["content-encoding"] == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()

    @property
    def words(self) -> str:
        """What a person reads, roughly."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.text)).split())

    @property
    def location(self) -> str:
        return str(self.headers["location"])

    @property
    def form_token(self) -> str:
        found = _FORM_TOKEN.search(self.text)
        assert found is not None, self.text
        return found[1]


@dataclass
class Visitor:
    """A browser with its cookies; it follows no redirects."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    def get(self, path: str, **headers: str) -> Page:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, fields: dict[str, str], *, at: str | None = None, **headers: str) -> Page:
        """Send a form as the page `at` has it, whose token it carries; without `at` only what is given."""
        token = {"form_token": self.get(at).form_token} if at is not None else {}
        body = urlencode({**token, **fields}).encode()
        return self.send("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded", **headers})

    def upload(self, path: str, name: str, files: dict[str, bytes], fields: dict[str, str], *, at: str) -> Page:
        """Send files with a form, as a browser packs them."""
        boundary = uuid.uuid4().hex
        given = {"form_token": self.get(at).form_token, **fields}
        start = 'Content-Disposition: form-data; name="'
        parts = [f'{start}{key}"\r\n\r\n{value}'.encode() for key, value in given.items()]
        for file_name, data in files.items():
            quoted = file_name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
            head = f'{start}{name}"; filename="{quoted}"\r\nContent-Type: image/jpeg'
            parts.append(f"{head}\r\n\r\n".encode() + data)
        body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts) + f"--{boundary}--".encode()
        return self.send("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def sign_in(self, username: str, password: str = PASSWORD, **fields: str) -> Page:
        return self.post("/sign-in", {"username": username, "password": password, **fields}, at="/sign-in")

    def send(
        self, method: str, path: str, body: Iterable[bytes] | bytes | None = None, headers: dict[str, str] | None = None
    ) -> Page:
        where = urlsplit(self.address)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
        kept = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        try:
            connection.request(method, path, body, {**kept, **named})
            answer = connection.getresponse()
            page = Page(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
        self.set_cookies = answer.headers.get_all("set-cookie") or []
        for line in self.set_cookies:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return page

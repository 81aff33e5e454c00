"""The web pages of a Tagwright server with people and photos, for tests in a browser: the server in this process, so
that a test can steer it, the pages in one of their own."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bundles
import numpy as np
from numpy.typing import NDArray
from photos import encoded, texture
from PIL import Image
from refiners import looks, write_batch_refiner, write_refiner
from servers import FakeBackend, await_true, serving, sign_in

from tagwright_client import Client, PhotoTags
from tagwright_server.app import App
from tagwright_server.inference.backend import Prediction
from tagwright_server.inference.bundle import Bundle
from tagwright_server.store.records import Role

SKY, MEADOW, ROSE = (60, 90, 235), (40, 235, 60), (235, 50, 70)  # colours of photos
_SEES = {"sky": 2, "animals": 1, "dog": 1, "flower": 0}  # which channel makes a label likely


class Colours(FakeBackend):
    """A network that sees colours: the bluer a photo, the likelier a sky; photos of one colour look alike.

    What is in `overlooks` it does not see.
    """

    def __init__(self) -> None:
        super().__init__()
        self.overlooks: set[str] = set()

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        seen = super().infer(model, pixels, timeout_s=timeout_s)
        colour = pixels.astype(np.float32).mean((1, 2)) / 255
        seen.scores[:] = 0.05
        for at, label in enumerate(model.labels):
            if label.name in _SEES and label.name not in self.overlooks:
                seen.scores[:, at] = colour[:, _SEES[label.name]] ** 2
        seen.embedding[:] = looks(100 * colour[:, 2].clip(0, 1), model.embedding_size)
        seen.embedding[:, 2] = colour[:, 0] - colour[:, 1]
        seen.embedding[:] /= np.linalg.norm(seen.embedding, axis=1, keepdims=True)
        return seen


def picture(seed: int, colour: Sequence[int] = SKY, *, width: int = 320, height: int = 240, **options: Any) -> bytes:
    """A small JPEG of that colour, different for each seed."""
    flat = Image.new("RGB", (width, height), tuple(colour))
    return encoded(Image.blend(texture(width, height, seed), flat, 0.75), "JPEG", **{"quality": 85, **options})


@dataclass
class Somebody:
    """Somebody with an account: a session's token, and a client with another session."""

    name: str
    token: str
    client: Client

    def keep(self, *user_tags: str, colour: Sequence[int] = SKY, data: bytes | None = None, **options: Any) -> str:
        """Store a photo that nobody else has, and return its id."""
        seed = uuid.uuid4().int % 2**32
        kept: PhotoTags = self.client.tag(
            picture(seed, colour) if data is None else data,
            user_tags=user_tags,
            store=True,
            **{"file_name": f"{seed}.jpg", **options},
        )
        assert kept.image_id is not None
        return kept.image_id


@dataclass
class Site:
    """A server, its network, and the pages."""

    app: App
    eye: Colours
    address: str
    log: Path
    gallery: Somebody
    _stack: ExitStack

    def somebody(self, name: str | None = None, *, role: Role = Role.USER) -> Somebody:
        """Somebody new."""
        return _somebody(self.app, name or f"p{uuid.uuid4().hex[:12]}", role, self._stack)

    def failures(self) -> list[str]:
        """What the pages logged that is worse than news."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if " INFO " not in line]


@contextmanager
def website(folder: Path, *, photos: int, pages: Sequence[str] = (), **settings: Any) -> Iterator[Site]:
    """Serve the pages, with these flags; their gallery has that many photos that everybody sees."""
    repository, log, eye = folder / "models", folder / "pages.log", Colours()
    [bundle] = bundles.write_repository(repository, network=False)
    write_refiner(bundle)
    write_batch_refiner(bundle)
    with ExitStack() as stack:
        quick = {"stop_drain_s": 1.0, "decode_workers": 2}
        app = stack.enter_context(serving(repository, backend=eye, **{**quick, **settings}))
        address = stack.enter_context(_pages(f"grpc://{app.address}", log, pages))
        gallery = _somebody(app, "gallery", Role.USER, stack)
        _fill(gallery, photos)
        yield Site(app, eye, address, log, gallery, stack)


@contextmanager
def _pages(server: str, log: Path, flags: Sequence[str]) -> Iterator[str]:
    command = [sys.executable, "-m", "tagwright_web", "--listen", "127.0.0.1:0", "--server", server, *flags]
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        await_true(lambda: "pages on http" in log.read_text(encoding="utf-8") or process.poll() is not None)
        said = log.read_text(encoding="utf-8")
        assert "pages on http" in said, f"it ended, having said:\n{said}"
        yield said.partition("pages on ")[2].partition(",")[0]
    finally:
        process.terminate()
        process.wait()


def _somebody(app: App, name: str, role: Role, stack: ExitStack) -> Somebody:
    token = sign_in(app, name, role)
    client = Client.connect(f"grpc://{app.address}", token=sign_in(app, name, role))
    return Somebody(name, token, stack.enter_context(client))


def _fill(gallery: Somebody, photos: int) -> None:
    def keep(number: int) -> None:
        tags = ["garden", f"row {number % 5}"] if number % 2 else ["harbour"]
        data = picture(number, (SKY, MEADOW, ROSE)[number % 3])
        gallery.keep(*tags, data=data, file_name=f"IMG_{number:04}.jpg", visibility="SHARED")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(photos)))

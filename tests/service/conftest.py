"""One repository of small models for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import postgres
import pytest
from clocks import MovedClock
from people import Person, person
from refiners import LookingEye, write_batch_refiner, write_refiner
from servers import FakeBackend, FakeDecoder, Running, running


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks of a few weights: tagger, the default, and plain-cnn."""
    folder = tmp_path_factory.mktemp("models")
    bundles.write_repository(folder, ("plain-cnn", "tagger"))
    return folder


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[Running]:
    """A server as it is: decoding processes, TorchScript, one for all tests that leave it as it was."""
    with running(repository) as serving:
        yield serving


@pytest.fixture
def backend() -> FakeBackend:
    """A network that a test steers."""
    return FakeBackend()


@pytest.fixture
def decoder() -> FakeDecoder:
    """A decoder that a test steers."""
    return FakeDecoder()


@pytest.fixture
def steered(repository: Path, backend: FakeBackend, decoder: FakeDecoder) -> Iterator[Running]:
    """A server whose network and decoder a test steers."""
    with running(repository, backend=backend, decoder=decoder) as serving:
        yield serving
        backend.latch.open()
        decoder.latch.open()


DATABASES = ["sqlite", pytest.param("postgresql", marks=postgres.needs_postgres)]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The settings of a fresh database of each kind."""
    yield from _fresh(request.param)


@pytest.fixture(scope="module", params=DATABASES)
def database_of_module(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The same, one for all tests of a module."""
    yield from _fresh(request.param)


def _fresh(kind: str) -> Iterator[dict[str, Any]]:
    if kind == "sqlite":
        yield {}
        return
    server = postgres.server()
    name = server.create()
    yield {"database": server.url(name)}
    server.drop(name)


@pytest.fixture
def clock() -> MovedClock:
    """The time of day, for a test to move."""
    return MovedClock()


@pytest.fixture
def stored(repository: Path, database: dict[str, Any], clock: MovedClock) -> Iterator[Running]:
    """A server on a fresh database of each kind, with a clock that a test moves and a network that costs nothing."""
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), clock=clock, **database) as serving:
        yield serving


@pytest.fixture(scope="module")
def with_refiner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small models, of which the default one has a refiner and a batch refiner."""
    folder = tmp_path_factory.mktemp("refined")
    [plain, tagger] = bundles.write_repository(folder, ("plain-cnn", "tagger"), network=False)
    write_refiner(tagger)
    write_batch_refiner(tagger)
    assert plain.name == "plain-cnn"
    return folder


@pytest.fixture
def alone(with_refiner: Path) -> Iterator[Person]:
    """Somebody with a server for themselves whose model has a refiner, where no other test's photos vote."""
    with running(with_refiner, backend=LookingEye(), decoder=FakeDecoder()) as serving:
        yield person(serving)

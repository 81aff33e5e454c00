"""What all tiers share: a test's tier is the folder it lies in, as a marker (`pytest -m "unit or contract"`), and no
test may log a secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from secrecy import WATCH

TESTS = Path(__file__).parent


def pytest_configure() -> None:
    WATCH.begin()


def pytest_sessionstart(session: pytest.Session) -> None:
    # The watch makes us log every call; the report of a test that failed is not to drown in that.
    plugin = session.config.pluginmanager.get_plugin("logging-plugin")
    if plugin is not None and session.config.getoption("log_level") is None:
        plugin.report_handler.setLevel(logging.INFO)


def pytest_unconfigure() -> None:
    WATCH.end()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])


@pytest.fixture(autouse=True)
def no_secret_in_the_log() -> Iterator[None]:
    """Fail the test in which a token or a known password is logged."""
    yield
    found = WATCH.take()
    assert not found, "a secret was logged:\n" + "\n".join(found)

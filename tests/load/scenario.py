"""The registry: every module of `scenarios/` is a scenario, found by its being there.

A scenario module has `NAME` (as `--only` takes it), `TITLE` (a line for people), `ORDER` (where it runs) and
`run(setup) -> Iterator[Row | Note | Aim]`. Its docstring says what is measured and how to read it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import scenarios
from .figures import Aim, Note, Row

if TYPE_CHECKING:
    from .setup import Setup

Yielded = Row | Note | Aim


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that can be measured."""

    name: str
    title: str
    order: int
    run: Callable[[Setup], Iterator[Yielded]]


def discover() -> list[Scenario]:
    """Return all scenarios in the order they run."""
    modules = [
        importlib.import_module(f"{scenarios.__name__}.{found.name}")
        for found in pkgutil.iter_modules(scenarios.__path__)
    ]
    found = [Scenario(module.NAME, module.TITLE, module.ORDER, module.run) for module in modules]
    return sorted(found, key=lambda scenario: (scenario.order, scenario.name))

"""What a scenario is given: how long, on which photos and model, and the processes it may share with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .child import Child
from .machine import cores
from .photos import Photos
from .raw_loop import RawLoop
from .serving import ENGINES, Engine, Serving, serve
from .traffic import warm_up

DATABASES = ("sqlite", "postgresql")


@dataclass
class Setup:
    """One run of the bench."""

    seconds: float  # of one measurement
    rounds: int  # of what is measured in turns
    photos: Photos
    repository: Path
    model: Path  # the version folder in it
    scratch: Path
    step: Callable[[str], None]  # tells the person at the terminal what is being measured
    stack: ExitStack
    engines: tuple[Engine, ...] = ENGINES
    library: Path | None = None  # a folder of MIRFlickr-25k, for what needs a library of real size
    library_photos: int = 20_000  # of it, at most
    refine_photos: tuple[int, ...] = (20_000,)  # sizes of made-up libraries
    search_photos: tuple[int, ...] = (20_000,)
    search_databases: tuple[str, ...] = DATABASES
    data: Path | None = None  # a folder of somebody's own JPEGs, from which `photos` are then
    web_photos: int = 20_000
    web_rounds: int = 20
    cores: int = field(default_factory=cores)

    @cached_property
    def raw_loop(self) -> RawLoop:
        """The raw loop's processes, started by the first who asks."""
        self.step("starting the raw loop")
        return self.stack.enter_context(RawLoop(self.model, self.photos.files, self.cores))

    @contextmanager
    def served(self, engine: Engine) -> Iterator[tuple[Serving, Child]]:
        """Run a server and a client process, both warm, for as long as the block runs."""
        self.step(f"starting a server, {engine.name}")
        with (
            serve(engine, self.repository, [f"--default-model={self.model.parent.name}"]) as serving,
            Child(
                "callers",
                {"address": serving.address, "photos": [str(file) for file in self.photos.files]},
                environment=serving.environment,
            ) as client,
        ):
            warm_up(client, min(self.seconds, 2.0))
            yield serving, client

"""TagImages: many photos a call. Two callers, so that the server has the next call while it answers the last one."""

from __future__ import annotations

from collections.abc import Iterator

from ..figures import Figure, Row, latency
from ..scenario import Yielded
from ..serving import NotServed
from ..setup import Setup
from ..traffic import measure

NAME = "tag-images"
TITLE = "TagImages over gRPC, several photos a call"
ORDER = 30

BATCHES = (8, 64)
_CALLERS = 2
_TABLE = f"{_CALLERS} callers"
_LONGER = 2  # a call of 64 photos takes seconds: a longer look, to see enough of them


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure both sizes on every engine."""
    for engine in setup.engines:
        try:
            with setup.served(engine) as (serving, client):
                for batch in BATCHES:
                    setup.step(f"tag-images: {serving.engine}, {batch} photos a call")
                    seconds = setup.seconds * (_LONGER if batch == max(BATCHES) else 1)
                    seen = measure(serving, client, callers=_CALLERS, batch=batch, seconds=seconds)
                    figures: dict[str, Figure] = {"photos_per_s": seen.photos_per_s, **latency(seen.took_ms)}
                    figures["calls"] = len(seen.took_ms)
                    figures["errors"] = ", ".join(f"{count} {reason}" for reason, count in seen.errors.items()) or 0
                    yield Row(_TABLE, f"{engine.name}, {batch} photos a call", figures)
        except NotServed as err:
            yield Row(_TABLE, engine.name, not_measured=str(err))

"""The engine in a Triton: our own child, or one elsewhere. What it answers is the network's word, or it is an error.

Callers are refused at once while the supervisor does not trust the Triton; otherwise their photos go to it in batches
it takes, every answer is checked, and a failed call makes the supervisor look right away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tagwright_server.errors import DeadlineExceeded, ModelUnavailable
from tagwright_server.inference.backend import RETRY_AFTER_S, OnChange, Prediction, check_pixels, chunks, join
from tagwright_server.inference.bundle import Bundle
from tagwright_server.inference.child import Child
from tagwright_server.inference.supervisor import Pace, Process, Supervisor


class TritonBackend:
    """A Triton under supervision."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        *,
        address: str | None = None,
        start: Callable[[], Process] | None = None,
        environment: Mapping[str, str] | None = None,
        pace: Pace | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        """Connect to the Triton at `address` (host:port) or, without one, start our own on `bundles`.

        Returns once it is ready; a Triton elsewhere may also become so later. Raises StartupError.
        `environment` is added to the child's own; `start` replaces how it is started.
        """
        if address is None:
            start = start or (lambda: Child(bundles, environment=environment))
        self._supervisor = Supervisor(bundles, start=start, address=address or "", pace=pace, on_change=on_change)

    @property
    def engine(self) -> str:
        """ "Triton" and the version it gives itself, as far as it has been met."""
        return f"Triton {self._supervisor.version}".strip()

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        """See `Backend.infer`."""
        check_pixels(model, pixels)
        deadline = time.monotonic() + timeout_s
        parts = []
        for part in chunks(pixels, model.max_batch_size):
            connection = self._supervisor.connection
            if connection is None:
                raise ModelUnavailable("the model is not available", retry_after_s=RETRY_AFTER_S)
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise DeadlineExceeded("time ran out while the network was busy")
            try:
                parts.append(connection.infer(model, part, timeout_s=remaining_s))
            except ModelUnavailable:
                self._supervisor.suspect()
                raise
            self._supervisor.served(model)
        return join(parts)

    def ready(self) -> bool:
        """Whether the last canary of every model came back right."""
        return self._supervisor.connection is not None

    def close(self) -> None:
        """Stop our own Triton, or leave the one elsewhere."""
        self._supervisor.close()

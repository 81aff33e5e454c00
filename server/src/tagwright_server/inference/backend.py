"""What the house knows of an engine that runs a network: pixels in, checked numbers out.

Two engines stand behind this: TorchScript in our process (`torchscript.py`) and a Triton (`triton.py`). Both promise
the same: an answer has passed `check_outputs`, or it is not an answer. An engine that is dead, hung, overloaded or
talking nonsense raises a domain error; it never returns numbers that were not the network's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tagwright_server.errors import ModelUnavailable
from tagwright_server.inference.bundle import Bundle, canary_pixels

CANARY_TOLERANCE = 1e-3  # scores on any CPU, against those the exporting machine wrote into the manifest
CANARY_TOLERANCE_GPU = 5e-3  # a GPU sums in another order and may use TF32
RETRY_AFTER_S = 1.0  # what callers are told while an engine is away; its canary comes about once a second
_NORM_TOLERANCE = 1e-2

OnChange = Callable[[bool], None]  # told when `Backend.ready` changes, from a thread of the backend


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network says about N photos, in their order."""

    scores: NDArray[np.float32]  # [N, labels], calibrated probabilities, 0 to 1
    embedding: NDArray[np.float32]  # [N, D], of length 1
    queue_s: float  # time spent waiting for the network, with the way to it and back
    inference_s: float  # time the forward pass took


class Nonsense(ModelUnavailable):
    """The engine answered, but not with what its network can have said; asking again will hardly help."""


class Backend(Protocol):
    """An engine that runs bundles."""

    @property
    def engine(self) -> str:
        """Its name and real version, such as "Triton 2.51.0"."""
        ...

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        """Run `model` on uint8 [N, S, S, 3], N from 1 to 64; safe to call from many threads.

        Raises Overloaded, DeadlineExceeded (after `timeout_s`) or ModelUnavailable.
        """
        ...

    def ready(self) -> bool:
        """Whether the last canary inference of every model came back right."""
        ...

    def close(self) -> None:
        """Stop everything that was started; idempotent."""
        ...


def check_pixels(model: Bundle, pixels: NDArray[np.uint8]) -> None:
    """Raise ValueError unless `pixels` is what `model` takes: a mistake of ours, never of a caller."""
    side = model.size
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or not len(pixels) or pixels.shape[1:] != (side, side, 3):
        raise ValueError(f"{model.name} takes uint8 [N, {side}, {side}, 3], got {pixels.dtype} {pixels.shape}")


def check_outputs(
    model: Bundle, n: int, scores: NDArray[Any] | None, embedding: NDArray[Any] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both outputs if they can be what `model` said about `n` photos, else raise ModelUnavailable."""
    scores = _checked(model, "scores", scores, (n, len(model.labels)))
    embedding = _checked(model, "embedding", embedding, (n, model.embedding_size))
    if scores.min() < 0.0 or scores.max() > 1.0:
        raise nonsense(model, "scores that are no probabilities")
    if np.abs(np.linalg.norm(embedding, axis=1) - 1.0).max() > _NORM_TOLERANCE:
        raise nonsense(model, "an embedding whose length is not 1")
    return scores, embedding


def check_canary(model: Bundle, scores: NDArray[np.float32], *, tolerance: float = CANARY_TOLERANCE) -> None:
    """Raise ModelUnavailable unless `scores`, for `canary_pixels`, are those in the manifest."""
    off = float(np.abs(scores[0] - np.asarray(model.canary_scores, dtype=np.float32)).max())
    if not off <= tolerance:
        raise nonsense(model, f"canary scores that are off by {off:.2g}")


def canary(model: Bundle) -> NDArray[np.uint8]:
    """Return the frame that `check_canary` is about."""
    return canary_pixels(model.size)


def chunks(pixels: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    """Split N photos into runs of at most `size`."""
    for start in range(0, len(pixels), size):
        yield pixels[start : start + size]


def join(parts: Sequence[Prediction]) -> Prediction:
    """Put the answers for consecutive chunks back together; their times add up."""
    if len(parts) == 1:
        return parts[0]
    return Prediction(
        scores=np.concatenate([part.scores for part in parts]),
        embedding=np.concatenate([part.embedding for part in parts]),
        queue_s=sum(part.queue_s for part in parts),
        inference_s=sum(part.inference_s for part in parts),
    )


def nonsense(model: Bundle, what: str) -> Nonsense:
    """Return the error that says `model` answered, but not with what its network can have said."""
    return Nonsense(f"model {model.name!r} answered with {what}", retry_after_s=RETRY_AFTER_S)


def _checked(model: Bundle, name: str, output: NDArray[Any] | None, shape: tuple[int, int]) -> NDArray[np.float32]:
    if output is None:
        raise nonsense(model, f"no {name}")
    if output.dtype != np.float32:
        raise nonsense(model, f"{name} of type {output.dtype}")
    if output.shape != shape:
        raise nonsense(model, f"{name} of shape {list(output.shape)} instead of {list(shape)}")
    if not np.isfinite(output).all():
        raise nonsense(model, f"{name} that are not finite numbers")
    return output

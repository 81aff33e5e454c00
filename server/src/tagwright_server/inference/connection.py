"""One connection to one Triton: a call with a deadline, its errors in domain words, its answers checked.

Safe to use from many threads (tritonclient's gRPC client is, streams aside). The only file that imports tritonclient.
Triton says UNAVAILABLE both when it is dead and when its queue is full, so its errors are told apart by their text.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tagwright_server.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from tagwright_server.inference.backend import (
    CANARY_TOLERANCE,
    CANARY_TOLERANCE_GPU,
    RETRY_AFTER_S,
    Nonsense,
    Prediction,
    canary,
    check_canary,
    check_outputs,
    nonsense,
)
from tagwright_server.inference.bundle import Bundle
from tagwright_server.inference.triton_files import DIGEST, EMBEDDING, INPUT, SCORES, SECONDS

ENGINE_TIMEOUT_S = 10.0  # a Triton that takes longer than its queue's 2 s and a batch is taken for hung
_CONTROL_TIMEOUT_S = 2.0
_QUEUE_FULL = "Exceeds maximum queue size"
_QUEUE_TIMEOUT = "Request timeout expired"
_KIND_GPU = 1  # ModelInstanceGroup.Kind of Triton's model_config.proto
_CHANNEL = [
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # default 120 s: a Triton that is back would not be met for so long
    ("grpc.enable_http_proxy", 0),  # a proxy of the environment is for the way out, not for an engine next door
]


class WrongModel(Exception):
    """The Triton at the other end runs, but not the models we mean; the text says in one line what differs."""


class Connection:
    """To the Triton at `address` (host:port)."""

    def __init__(self, address: str, *, id: str | None = None) -> None:
        """Prepare a connection; nothing is sent. With `id`, only the Triton started under that id will do."""
        self.address = address
        self._id = id
        self._client = triton.InferenceServerClient(address, channel_args=_CHANNEL)
        self._tolerances: dict[str, float] = {}

    def identify(self, bundles: Sequence[Bundle]) -> str:
        """Check that this Triton is the one meant and serves `bundles`; return its version.

        Raises ModelUnavailable while it does not answer or loads, WrongModel where it serves something else.
        """
        try:
            server = self._client.get_server_metadata(client_timeout=_CONTROL_TIMEOUT_S)
            if self._id is not None and server.name != self._id:
                raise WrongModel(f"another server listens at {self.address}")
            for bundle in bundles:
                self._check_model(bundle)
        except InferenceServerException as err:
            raise _unavailable() from err
        return str(server.version)

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        """Run at most `max_batch_size` photos; see `Backend.infer` for the errors."""
        timeout = min(timeout_s, ENGINE_TIMEOUT_S)
        tensor = triton.InferInput(INPUT, list(pixels.shape), "UINT8").set_data_from_numpy(pixels)
        started = time.monotonic()
        try:
            answer = self._client.infer(
                model.name,
                [tensor],
                model_version=model.version,
                client_timeout=timeout,
                timeout=max(1, int(timeout * 1e6)),  # what it may wait in Triton's queue; longer is refused there
            )
        except InferenceServerException as err:
            raise _classify(err, took_s=time.monotonic() - started, timeout_s=timeout_s) from err
        took = time.monotonic() - started
        return _decode(model, len(pixels), answer, took_s=took)

    def try_canary(self, model: Bundle, *, timeout_s: float) -> None:
        """Run the canary; raises what `infer` does, and ModelUnavailable if its scores are not the manifest's."""
        prediction = self.infer(model, canary(model), timeout_s=timeout_s)
        check_canary(model, prediction.scores, tolerance=self._tolerances.get(model.name, CANARY_TOLERANCE))

    def close(self) -> None:
        """End the connection; idempotent. Without it, the last reference does."""
        self._client.close()

    def _check_model(self, bundle: Bundle) -> None:
        metadata = self._client.get_model_metadata(bundle.name, bundle.version, client_timeout=_CONTROL_TIMEOUT_S)
        side = bundle.size
        expected = {
            INPUT: ("UINT8", [-1, side, side, 3]),
            SCORES: ("FP32", [-1, len(bundle.labels)]),
            EMBEDDING: ("FP32", [-1, bundle.embedding_size]),
        }
        found = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in (*metadata.inputs, *metadata.outputs)}
        for name, tensor in expected.items():
            if found.get(name) != tensor:
                raise WrongModel(f"model {bundle.name!r} at {self.address} has {name} {found.get(name)}, not {tensor}")
        config = self._client.get_model_config(bundle.name, bundle.version, client_timeout=_CONTROL_TIMEOUT_S).config
        if config.max_batch_size < bundle.max_batch_size:
            raise WrongModel(
                f"model {bundle.name!r} at {self.address} takes batches of {config.max_batch_size}, "
                f"not {bundle.max_batch_size}"
            )
        digest = config.parameters[DIGEST].string_value if DIGEST in config.parameters else ""
        if digest and digest != bundle.digest:
            raise WrongModel(
                f"model {bundle.name!r} at {self.address} is of digest {digest[:12]}…, not {bundle.digest[:12]}…"
            )
        on_gpu = any(group.kind == _KIND_GPU for group in config.instance_group)
        self._tolerances[bundle.name] = CANARY_TOLERANCE_GPU if on_gpu else CANARY_TOLERANCE


def _decode(model: Bundle, n: int, answer: triton.InferResult, *, took_s: float) -> Prediction:
    """Return what `answer` says about `n` photos; raises Nonsense, whatever its bytes are."""
    try:
        scores, embedding = check_outputs(model, n, answer.as_numpy(SCORES), answer.as_numpy(EMBEDDING))
        queue_s = _queue_s(took_s, answer.as_numpy(SECONDS))
    except Nonsense:
        raise
    except Exception as err:  # tritonclient checks nothing: ValueError, struct.error, TypeError, as the bytes will
        raise nonsense(model, f"outputs that cannot be read: {type(err).__name__}") from err
    return Prediction(scores, embedding, queue_s, took_s - queue_s)


def _queue_s(took: float, seconds: NDArray[Any] | None) -> float:
    """Return a call's time without the forward pass; 0 where Triton does not say how long that was."""
    if seconds is None or seconds.size == 0 or not np.isfinite(seconds).all():
        return 0.0
    return min(took, max(0.0, took - float(seconds.flat[0])))


def _classify(err: InferenceServerException, *, took_s: float, timeout_s: float) -> Exception:
    text = err.message() or ""
    if _QUEUE_FULL in text or (_QUEUE_TIMEOUT in text and took_s < 0.9 * timeout_s):
        return Overloaded("too many photos are waiting for the network", retry_after_s=RETRY_AFTER_S)
    if _QUEUE_TIMEOUT in text or (err.status() == "StatusCode.DEADLINE_EXCEEDED" and timeout_s <= ENGINE_TIMEOUT_S):
        return DeadlineExceeded("time ran out while the network was busy")
    return _unavailable()


def _unavailable() -> ModelUnavailable:
    """Return the error for callers, whose text tells nothing of addresses or paths; its cause does, for our log."""
    return ModelUnavailable("the model does not answer", retry_after_s=RETRY_AFTER_S)

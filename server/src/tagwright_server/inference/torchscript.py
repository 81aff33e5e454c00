"""The engine in our own process: TorchScript, one thread and one bounded queue a model, batches of whatever is
waiting.

For machines where no Triton can be had, and for tests. It keeps the limits a Triton is given (`triton_files.Limits`),
so that callers meet the same behaviour. The only file of the server that imports torch, and only when a backend is
opened. A photo never waits for company: while one batch runs, the next one gathers.
"""

from __future__ import annotations

import io
import logging
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.errors import DeadlineExceeded, ModelUnavailable, Overloaded, StartupError, TagwrightError
from tagwright_server.inference import allocator
from tagwright_server.inference.backend import (
    RETRY_AFTER_S,
    OnChange,
    Prediction,
    canary,
    check_canary,
    check_outputs,
    check_pixels,
    chunks,
    join,
)
from tagwright_server.inference.bundle import Bundle
from tagwright_server.inference.triton_files import Limits

_log = logging.getLogger(__name__)
_RETRY_CANARY_S = 1.0


class LocalBackend:
    """TorchScript in this process. Ready when the constructor returns."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        *,
        limits: Limits | None = None,
        threads: int | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        """Load, check and warm up every bundle; `threads` of a forward pass default to the cores we may use.

        Raises StartupError where torch is missing or a network does not load or is not what its manifest says.
        """
        allocator.keep_freed_memory()
        # As for Triton's child; read once, when torch is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", allocator.CHILD_ENVIRONMENT["OMP_WAIT_POLICY"])
        try:
            import torch
        except ImportError as err:
            raise StartupError("inference in this process needs torch, which is not installed") from err
        limits = limits or Limits()
        torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // limits.instances))
        self.engine = f"TorchScript {torch.__version__.partition('+')[0]} (in process)"
        self._on_change = on_change or (lambda ready: None)
        self._lanes: dict[tuple[str, str], _Lane] = {}
        for bundle in bundles:
            self._lanes[bundle.name, bundle.version] = _Lane(bundle, limits, self._changed)
        self._changed()

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        """See `Backend.infer`."""
        check_pixels(model, pixels)
        lane = self._lanes[model.name, model.version]
        deadline = time.monotonic() + timeout_s
        # One batch after the other: all at once, a call of 64 photos would fill the queue and outwait its limit.
        return join([self._one(lane, part, deadline) for part in chunks(pixels, model.max_batch_size)])

    def ready(self) -> bool:
        """Whether the last canary of every model came back right."""
        return all(lane.well for lane in self._lanes.values())

    def close(self) -> None:
        """End the threads; what is queued ends with ModelUnavailable."""
        for lane in self._lanes.values():
            lane.close()

    def _one(self, lane: _Lane, pixels: NDArray[np.uint8], deadline: float) -> Prediction:
        job = lane.submit(pixels, deadline)
        try:
            return job.result(timeout=max(0.0, deadline - time.monotonic()))
        except FutureTimeout as err:
            raise DeadlineExceeded("time ran out while the network was busy") from err
        finally:
            job.cancel()  # if it is still queued; a batch that runs is not interrupted

    def _changed(self) -> None:
        self._on_change(self.ready())


class _Job(Future[Prediction]):
    def __init__(self, pixels: NDArray[np.uint8], deadline: float) -> None:
        super().__init__()
        self.pixels = pixels
        self.queued = time.monotonic()
        self.deadline = deadline

    def fail(self, error: TagwrightError) -> None:
        try:
            self.set_exception(error)
        except InvalidStateError:
            return  # the caller gave it up in the same moment


class _Lane:
    """One model's network, its queue, and the threads that run it."""

    def __init__(self, bundle: Bundle, limits: Limits, changed: Any) -> None:
        self._bundle = bundle
        self._limits = limits
        self._changed = changed
        self._network = load(bundle.read_model(), bundle.path)
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self.well = False
        self._warm_up()
        self._threads = [
            threading.Thread(target=self._work, name=f"tagwright-{bundle.name}-{i}", daemon=True)
            for i in range(limits.instances)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, pixels: NDArray[np.uint8], deadline: float) -> _Job:
        job = _Job(pixels, deadline)
        with self._wake:
            if self._closed or not self.well:
                raise ModelUnavailable("the network is not available", retry_after_s=RETRY_AFTER_S)
            if len(self._jobs) >= self._limits.queue_size:
                raise Overloaded("too many photos are waiting for the network", retry_after_s=RETRY_AFTER_S)
            self._jobs.append(job)
            self._wake.notify()
        return job

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _warm_up(self) -> None:
        """Run every batch size once, and the canary; whatever is wrong now is wrong with the bundle."""
        try:
            for n in range(1, self._bundle.max_batch_size + 1):
                self._run(np.repeat(canary(self._bundle), n, axis=0))
            self._check_canary()
        except (TagwrightError, RuntimeError) as err:
            reason = (str(err).strip().splitlines() or ["?"])[-1]
            raise StartupError(f"{self._bundle.path}: does not run: {reason}") from err

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._jobs or self._closed, timeout=None if self.well else _RETRY_CANARY_S)
                if self._closed:
                    break
                batch = self._take()
            if batch:
                self._answer(batch)
            if not self.well:
                self._recover()
        for job in self._jobs:
            job.fail(ModelUnavailable("the server is stopping", retry_after_s=RETRY_AFTER_S))

    def _take(self) -> list[_Job]:
        """Take jobs for one batch, in order, leaving out those that nobody waits for any more."""
        batch: list[_Job] = []
        room = self._bundle.max_batch_size
        while self._jobs and len(self._jobs[0].pixels) <= room:
            job = self._jobs.popleft()
            if not job.set_running_or_notify_cancel():
                continue
            now = time.monotonic()
            if now >= job.deadline:
                job.fail(DeadlineExceeded("time ran out while waiting for the network"))
            elif now - job.queued > self._limits.queue_timeout_us / 1e6:
                job.fail(Overloaded("waited too long for the network", retry_after_s=RETRY_AFTER_S))
            else:
                batch.append(job)
                room -= len(job.pixels)
        return batch

    def _answer(self, batch: list[_Job]) -> None:
        started = time.monotonic()
        try:
            together = batch[0].pixels if len(batch) == 1 else np.concatenate([job.pixels for job in batch])
            scores, embedding = self._run(together)
        except Exception:  # whatever torch throws, the callers must hear of it and the thread must go on
            _log.exception("model %s failed on a batch of %d", self._bundle.name, len(batch))
            self.well = False
            for job in batch:
                job.fail(ModelUnavailable("the network failed", retry_after_s=RETRY_AFTER_S))
            self._changed()
            return
        took = time.monotonic() - started
        start = 0
        for job in batch:
            end = start + len(job.pixels)
            job.set_result(Prediction(scores[start:end], embedding[start:end], started - job.queued, took))
            start = end

    def _recover(self) -> None:
        try:
            self._check_canary()
        except Exception:
            _log.exception("the canary of model %s failed", self._bundle.name)
            return
        self._changed()

    def _check_canary(self) -> None:
        check_canary(self._bundle, self._run(canary(self._bundle))[0])
        self.well = True

    def _run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        import torch

        with torch.inference_mode():
            scores, embedding = self._network(torch.from_numpy(pixels))
        return check_outputs(self._bundle, len(pixels), scores.numpy(), embedding.numpy())


def load(content: bytes, path: object) -> Any:
    """Load TorchScript from bytes whose digest was checked; the one place that does, and hears its deprecation."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated since torch 2.11, and works
        try:
            return torch.jit.freeze(torch.jit.load(io.BytesIO(content), map_location="cpu").eval())
        except RuntimeError as err:
            raise StartupError(f"{path}: model.pt is no TorchScript network that this torch can load") from err

"""One process of the raw loop: the server's own decoder and the product's network, with nothing between them.

What an engineer would write who needs the tags of many photos and no server: the same limits, preprocessing, weights,
allocator and batch size as the product, and no hand-over that is not needed.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tagwright_server.images.decode import DecodeLimits, decode
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference.bundle import load_bundle
from tagwright_server.inference.torchscript import load

from .child import answer_lines

_Pixels = NDArray[np.uint8]
_AHEAD = 2  # batches that are decoded while one is in the network
_WARM_UP = 3


class Worker:
    """The network, the photos and the ways to put them together."""

    def __init__(self, *, model: str, photos: list[str], threads: int, decoders: int) -> None:
        self._bundle = load_bundle(Path(model))
        self._threads = threads
        torch.set_num_threads(threads)
        self._network: Callable[..., Any] = load(self._bundle.read_model(), model)
        self._preprocessing = Preprocessing.from_manifest(self._bundle.preprocessing)
        self._limits = DecodeLimits()
        self._photos = [Path(photo).read_bytes() for photo in photos]
        self._decoders = ThreadPoolExecutor(decoders)
        self._sample = np.stack(
            [self._decode(data) for data in islice(cycle(self._photos), self._bundle.max_batch_size)]
        )
        for _ in range(_WARM_UP):
            self._forward(self._sample)

    def handle(self, command: dict[str, Any]) -> Mapping[str, Any]:
        """Do what a line of the bench asks for."""
        match command:
            case {"do": "export_onnx", "path": path}:
                return self._export_onnx(path)
            case {"do": "measure", "what": what, "seconds": seconds, "start_at": start_at}:
                return _measure(self._batches(what, command), seconds, start_at)
        raise ValueError(command)

    def _batches(self, what: str, command: Mapping[str, Any]) -> Iterator[int]:
        """Do the work, batch by batch; yields how many photos each had."""
        match what:
            case "in turn":
                return self._in_turn(map)
            case "threads in turn":
                return self._in_turn(self._decoders.map)
            case "threads ahead":
                return self._ahead()
            case "decode":
                return (1 for data in cycle(self._photos) if self._decode(data) is not None)
            case "network":
                return self._repeat(self._forward)
            case "onnx":
                return self._repeat(self._onnx(command["path"]))
        raise ValueError(what)

    def _in_turn(self, apply: Callable[..., Any]) -> Iterator[int]:
        for some in self._encoded():
            self._forward(np.stack(list(apply(self._decode, some))))
            yield len(some)

    def _ahead(self) -> Iterator[int]:
        waiting: deque[list[Future[_Pixels]]] = deque()
        for some in self._encoded():
            waiting.append([self._decoders.submit(self._decode, data) for data in some])
            if len(waiting) > _AHEAD:
                self._forward(np.stack([future.result() for future in waiting.popleft()]))
                yield len(some)

    def _repeat(self, forward: Callable[[_Pixels], object]) -> Iterator[int]:
        while True:
            forward(self._sample)
            yield len(self._sample)

    def _encoded(self) -> Iterator[list[bytes]]:
        endless = cycle(self._photos)
        while True:
            yield list(islice(endless, self._bundle.max_batch_size))

    def _decode(self, data: bytes) -> _Pixels:
        return decode(data, self._preprocessing, self._limits).pixels

    def _forward(self, pixels: _Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            scores, embedding = self._network(torch.from_numpy(pixels))
        return scores.numpy(), embedding.numpy()

    def _export_onnx(self, path: str) -> Mapping[str, Any]:
        """Write the graph of model.pt as ONNX; its answer says how far the scores are apart, or why there is none."""
        axes = {name: {0: "n"} for name in ("pixels", "scores", "embedding")}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that exporter is deprecated, and the one that takes TorchScript
                torch.onnx.export(
                    torch.jit.load(str(self._bundle.path / "model.pt")).eval(), (torch.from_numpy(self._sample),), path,
                    dynamo=False, input_names=["pixels"], output_names=["scores", "embedding"], dynamic_axes=axes,
                )  # fmt: skip
            scores = self._onnx(path)(self._sample)[0]
        except Exception as err:  # an exporter raises what it likes, and this figure is the only one that needs it
            return {"not_measured": f"{type(err).__name__}: {(str(err).strip().splitlines() or ['?'])[0]}"}
        return {"difference": float(np.abs(scores - self._forward(self._sample)[0]).max())}

    def _onnx(self, path: str) -> Callable[[_Pixels], Any]:
        import onnxruntime  # only this figure needs it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for _ in range(_WARM_UP):
            session.run(None, {"pixels": self._sample})
        return lambda pixels: session.run(None, {"pixels": pixels})


def _measure(batches: Iterator[int], seconds: float, start_at: float) -> Mapping[str, Any]:
    next(batches)  # starts what runs ahead, before the clock does
    time.sleep(max(0.0, start_at - time.monotonic()))
    photos, started, processor_s = 0, time.monotonic(), time.process_time()
    while time.monotonic() < started + seconds:
        photos += next(batches)
    return {
        "photos": photos,
        "seconds": time.monotonic() - started,
        "processor_s": time.process_time() - processor_s,
    }


if __name__ == "__main__":
    answer_lines(Worker(**json.loads(sys.argv[1])).handle)

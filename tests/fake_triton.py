"""A gRPC server that talks like a Triton and can be told to lie, to hang, or to be another model's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

from tagwright_server.inference.bundle import Bundle, canary_pixels
from tagwright_server.inference.triton_files import DIGEST, EMBEDDING, INPUT, SCORES

Outputs = dict[str, NDArray[Any]]


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # tritonclient has no types
    """Knows one bundle, and says of any photo what its manifest says of the canary, unless `lie` changes that."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.lie: Callable[[Outputs], Outputs] = lambda outputs: outputs
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.refuse_canary: tuple[grpc.StatusCode, str] | None = None  # and nothing else
        self.hang: threading.Event | None = None  # answers once it is set
        self.label_count = len(bundle.labels)
        self.digest = bundle.digest
        self.calls = 0
        self.canaries_refused = 0
        self._canary = canary_pixels(bundle.size).tobytes()

    def truth(self, n: int) -> Outputs:
        embedding = np.zeros((n, self.bundle.embedding_size), dtype=np.float32)
        embedding[:, 0] = 1.0
        scores = np.tile(np.asarray(self.bundle.canary_scores, dtype=np.float32), (n, 1))
        return {SCORES: scores, EMBEDDING: embedding}

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ServerMetadataResponse(name="fake", version="9.9.9")

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        def tensor(name: str, datatype: str, *shape: int) -> Any:
            return service_pb2.ModelMetadataResponse.TensorMetadata(name=name, datatype=datatype, shape=[-1, *shape])

        return service_pb2.ModelMetadataResponse(
            name=request.name,
            versions=[request.version],
            inputs=[tensor(INPUT, "UINT8", self.bundle.size, self.bundle.size, 3)],
            outputs=[tensor(SCORES, "FP32", self.label_count), tensor(EMBEDDING, "FP32", self.bundle.embedding_size)],
        )

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = service_pb2.ModelConfigResponse()
        response.config.max_batch_size = self.bundle.max_batch_size
        response.config.parameters[DIGEST].string_value = self.digest
        return response

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls += 1
        if self.hang is not None:
            self.hang.wait()
        if self.refuse is not None:
            context.abort(*self.refuse)
        if self.refuse_canary is not None and request.raw_input_contents[0] == self._canary:
            self.canaries_refused += 1
            context.abort(*self.refuse_canary)
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=request.model_version)
        for name, output in self.lie(self.truth(request.inputs[0].shape[0])).items():
            datatype = {"O": "BYTES", "S": "BYTES"}.get(output.dtype.kind, f"FP{8 * output.dtype.itemsize}")
            response.outputs.add(name=name, datatype=datatype, shape=output.shape)
            readable = serialize_byte_tensor(output).item() if output.dtype.kind == "O" else output.tobytes()
            response.raw_output_contents.append(readable)
        return response


@contextmanager
def served(triton: FakeTriton) -> Iterator[str]:
    """Serve `triton` on a free port and yield its address."""
    server = grpc.server(ThreadPoolExecutor(16))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        if triton.hang is not None:
            triton.hang.set()
        server.stop(None).wait()

"""Runs ../model.pt for Triton's python backend: written beside it as model.py, imported by Triton's stub and by nobody
else.

Promises: the same numbers as the TorchScript it loads, every request of an execute() in as few forward passes as
`max_batch_size` allows, and no answer at all where it cannot give a true one. It checks the file's digest before
torch sees it.

Parameters (strings, in the configuration): `threads` a forward pass may use (default: the cores this process may use,
shared among the instances), `freeze` ("true" by default).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb  # Triton's stub brings it

torch.set_num_interop_threads(1)  # one request at a time; must be said before any work is done


class TritonPythonModel:
    """What the stub looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network onto the device Triton chose; what it raises keeps Triton from becoming ready."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        instances = sum(group["count"] for group in config["instance_group"])
        cores = len(os.sched_getaffinity(0))
        torch.set_num_threads(int(parameters.get("threads", max(1, cores // instances))))
        self.max_batch_size = int(config["max_batch_size"])
        self.device = _device(args)
        folder = Path(args["model_repository"]) / args["model_version"]
        self.network = _load(folder, self.device, freeze=parameters.get("freeze", "true") == "true")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request; their photos share forward passes."""
        photos = [pb.get_input_tensor_by_name(request, "PIXELS__0").as_numpy() for request in requests]
        together = photos[0] if len(photos) == 1 else np.concatenate(photos)
        started = time.perf_counter()
        scores, embedding = self._forward(together)
        seconds = np.full((len(together), 1), time.perf_counter() - started, dtype=np.float32)
        ends = np.cumsum([len(some) for some in photos])
        return [
            pb.InferenceResponse(
                [
                    pb.Tensor("SCORES__0", scores[end - len(some) : end]),
                    pb.Tensor("EMBEDDING__1", embedding[end - len(some) : end]),
                    pb.Tensor("SECONDS__2", seconds[end - len(some) : end]),
                ]
            )
            for some, end in zip(photos, ends, strict=True)
        ]

    def _forward(self, photos: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        with torch.inference_mode():
            parts = [self.network(part.to(self.device)) for part in torch.from_numpy(photos).split(self.max_batch_size)]
            scores, embedding = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
        return scores, embedding


def _device(args: dict[str, str]) -> torch.device:
    if args["model_instance_kind"] != "GPU":
        return torch.device("cpu")
    if not torch.cuda.is_available():  # Triton sees a GPU, this torch was built without
        pb.Logger.log_warn("torch cannot use the GPU that Triton sees; running on the CPU")
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False  # the scores of the CPU, to 1e-3, come before speed
    return torch.device("cuda", int(args["model_instance_device_id"]))


def _load(folder: Path, device: torch.device, *, freeze: bool) -> Any:
    content = (folder / "model.pt").read_bytes()
    said = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["digest_sha256"]
    if hashlib.sha256(content).hexdigest() != said:
        raise RuntimeError(f"{folder / 'model.pt'} is not the model that its manifest describes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated since torch 2.11, and works
        network = torch.jit.load(io.BytesIO(content), map_location=device).eval()
        return torch.jit.freeze(network) if freeze else network

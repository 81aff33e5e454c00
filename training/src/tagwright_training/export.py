"""Export: a trained run becomes a bundle that the server can run.

The bundle is one folder of Triton's layout: `model.pt` (TorchScript, uint8 photos in, calibrated probabilities and
embeddings out), `manifest.json` (labels, thresholds, figures, digests) and `seen.txt` (which photos it learnt from).
Calibration and thresholds are fitted on the calibration part, which training only used to choose the epoch.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as nnf
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference import triton_files
from tagwright_server.inference.bundle import canary_pixels, load_bundle
from tagwright_training import dataset as datasets
from tagwright_training.calibration import fit_platt, fit_thresholds
from tagwright_training.data import pixels, to_tensor, upscale
from tagwright_training.dataset import write_atomically
from tagwright_training.metrics import average_precision
from tagwright_training.model import EfficientNetLite, Network
from tagwright_training.seen import write_seen
from tagwright_training.train import Recipe, check_data

EMBEDDING_SIZE = 256  # at most; a handful of photos spans fewer dimensions
MAX_BATCH_SIZE = 8
console = Console(stderr=True)


class Exported(nn.Module):
    """The network as it is served: everything from uint8 pixels to probabilities in one graph."""

    size: int
    public: int
    strict: int

    def __init__(
        self, network: Network, *, size: int, public: int, strict: int,
        platt: tuple[Tensor, Tensor], projection: tuple[Tensor, Tensor],
    ) -> None:  # fmt: skip
        super().__init__()
        self.size, self.public, self.strict = size, public, strict
        self.backbone = network.backbone
        labels = public + strict
        self.head = nn.Linear(network.head.in_features, labels)
        with torch.no_grad():  # Platt's slope and offset are folded into the head
            self.head.weight.copy_(network.head.weight[:labels] * platt[0][:, None])
            self.head.bias.copy_(network.head.bias[:labels] * platt[0] + platt[1])
        self.register_buffer("mean", projection[0])
        self.register_buffer("axes", projection[1])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Photos uint8 `[N, H, W, 3]` to scores `[N, labels]` and L2-normalised embedding `[N, D]`."""
        features = self.backbone(upscale(pixels, self.size))
        scores = self.head(features)[:, : self.public].sigmoid()
        return scores, nnf.normalize((features - self.mean) @ self.axes)

    def strict_scores(self, pixels: Tensor) -> Tensor:
        """Scores `[N, strict]` of the strict labels; for evaluation only, never served."""
        scores: Tensor = self.head(self.backbone(upscale(pixels, self.size)))[:, self.public :].sigmoid()
        return scores


def command(
    run: Annotated[Path, typer.Argument(help="folder of a training run")],
    dataset: Annotated[Path, typer.Argument(help="the manifest that `prepare` wrote")],
    out: Annotated[Path, typer.Option(help="model folder, such as model_repository/tagger")],
    version: Annotated[str, typer.Option(help="version folder in OUT")] = "1",
) -> None:
    """Turn a run's best epoch into a bundle: model.pt, manifest.json, seen.txt."""
    data = datasets.load(dataset)
    torch.manual_seed(0)
    saved = torch.load(run / "best.pt", weights_only=True, map_location="cpu")
    check_data(saved, dataset_digest=data.digest(), file=run / "best.pt")
    recipe = Recipe(**saved["recipe"])
    public, strict = list(saved["labels"]), list(saved["strict_labels"])
    network = Network(recipe.architecture, len(public) + len(strict) + len(saved["user_tags"]), pretrained=False)
    network.load_state_dict(saved["network"])
    if isinstance(network.backbone, EfficientNetLite):
        network.backbone.fold_batch_norms()
    network.eval()

    preprocessing = Preprocessing(size=recipe.photo_size)
    photos = data.split("calibrate")
    features = _features(network, pixels(data, photos, preprocessing, run.parent / "cache"), recipe.serve_size)
    truth = np.hstack([datasets.targets(photos, public, strict=False), datasets.targets(photos, strict, strict=True)])
    with torch.inference_mode():
        logits = network.head(features)[:, : truth.shape[1]].numpy()
    slope, offset = fit_platt(logits, truth)
    scores = 1 / (1 + np.exp(-(logits * slope + offset)))

    mean, axes = _principal_axes(features, EMBEDDING_SIZE)
    exported = Exported(
        network, size=recipe.serve_size, public=len(public), strict=len(strict),
        platt=(torch.from_numpy(slope).float(), torch.from_numpy(offset).float()), projection=(mean, axes),
    ).eval()  # fmt: skip
    folder = out / version
    folder.mkdir(parents=True, exist_ok=True)
    digest = _write_torchscript(exported, folder / "model.pt", preprocessing.size)
    write_seen(folder / "seen.txt", [*data.split("train"), *photos])
    labels = [
        {
            "name": name,
            "average_precision": round(average_precision(truth[:, i], scores[:, i]), 4),
            **fit_thresholds(truth[:, i], scores[:, i]),
        }
        for i, name in enumerate(public)
    ]
    manifest: dict[str, Any] = {
        "name": out.name,
        "version": version,
        "architecture": recipe.architecture,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "digest_sha256": digest,
        "input": {"size": preprocessing.size, "layout": "NHWC", "dtype": "uint8"},
        "preprocessing": preprocessing.to_manifest(),
        "embedding_size": axes.shape[1],
        "max_batch_size": MAX_BATCH_SIZE,
        "labels": labels,
        "strict_labels": strict,
        "metrics": {},
        "training": {
            "dataset_sha256": data.digest(),
            "photos_trained": len(data.split("train")),
            "photos_calibrated": len(photos),
            "recipe": asdict(recipe),
            "history": saved["history"],
        },
        "canary": {"scores": _canary(exported, preprocessing.size)},
    }
    write_atomically(folder / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())
    triton_files.write(load_bundle(folder))
    console.print(f"wrote {folder}: {(folder / 'model.pt').stat().st_size / 1e6:.1f} MB, sha256 {digest[:12]}…")
    console.print("`tagwright-train evaluate DATA --update-manifest` measures it on photos it has not seen")


def _features(network: Network, photos: NDArray[np.uint8], size: int) -> Tensor:
    with torch.inference_mode():
        parts = [
            network.backbone(to_tensor(photos[i : i + 8], size))
            for i in track(range(0, len(photos), 8), "Features of the calibration part", transient=True)
        ]
    return torch.cat(parts).clone()


def _principal_axes(features: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean `[F]` and the leading `size` principal axes `[F, size]` of features `[n, F]`."""
    mean = features.mean(0)
    _, _, axes = torch.linalg.svd(features - mean, full_matrices=False)
    return mean, axes[:size].T.contiguous()


def _write_torchscript(exported: Exported, path: Path, size: int) -> str:
    """Trace and save; returns the file's SHA-256."""
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # TorchScript is deprecated in torch >= 2.11 and still what Triton runs
        torch.jit.save(torch.jit.trace_module(exported, {"forward": example, "strict_scores": example}), str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _canary(exported: Exported, size: int) -> list[float]:
    with torch.inference_mode():
        scores, _ = exported(torch.from_numpy(canary_pixels(size)))
    return [round(float(s), 6) for s in scores[0]]

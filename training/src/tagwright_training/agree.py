"""`tagwright-train agree`: how far a model's tags of full-size photos agree with those of the same photos made small.

Training photos are 128-pixel centre crops; people send full frames. This makes every photo of a folder what a training
photo is (centre square, 128 pixels, JPEG quality 90) and compares the two answers. Beside the frame as it is served
(its centre square) it tries what else could be made of it. It needs no annotations.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from tagwright_server.errors import ImageRejected, StartupError
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference.bundle import Bundle, load_bundles
from tagwright_training import scoring
from tagwright_training.data import square
from tagwright_training.dataset import write_atomically
from tagwright_training.prepare import stop

TRAINING_PHOTO = Preprocessing(size=128)
TRAINING_QUALITY = 90  # of the JPEGs that the model learnt from
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def command(
    folder: Annotated[Path, typer.Argument(help="Folder of full-size photos.")],
    model_repository: Annotated[Path, typer.Option(help="Where the exported models are.")] = Path("model_repository"),
    model: Annotated[str, typer.Option(help="Name of a model.")] = "tagger",
    out: Annotated[Path, typer.Option(help="JSON file for the figures.")] = Path("runs/agreement.json"),
) -> None:
    """Compare a model's tags of full-size photos with its tags of the same photos as training photos are."""
    console = Console(stderr=True)
    try:
        bundle = next((bundle for bundle in load_bundles(model_repository) if bundle.name == model), None)
    except StartupError as err:
        raise stop(console, str(err)) from err
    if bundle is None:
        raise stop(console, f"{model_repository} has no model {model!r}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        raise stop(console, f"{folder} has no photos")
    try:
        full = [path.read_bytes() for path in paths]
        reference = scoring.scores_of(bundle, [as_training_photo(data) for data in full])
        figures = {
            name: agreement(bundle, scoring.scores_of(bundle, [frame(data) for data in full]), reference)
            for name, frame in FRAMES.items()
        }
    except (ImageRejected, OSError) as err:
        raise stop(console, f"{folder}: {err}") from err
    table = Table("the full-size photo", title=f"{len(paths)} photos, full size against {TRAINING_PHOTO.size} pixels")
    for column in figures["centre square, as served"]:
        table.add_column(column.replace("_", " "), justify="right")
    for name, row in figures.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console().print(table)
    document = {"photos": len(paths), "model": bundle.digest, "frames": figures}
    write_atomically(out, (json.dumps(document, indent=1) + "\n").encode())


def as_training_photo(data: bytes) -> bytes:
    """The photo's centre square at 128 pixels, as a JPEG of quality 90."""
    file = io.BytesIO()
    Image.fromarray(square(data, TRAINING_PHOTO)).save(file, "JPEG", quality=TRAINING_QUALITY)
    return file.getvalue()


def _squashed(data: bytes) -> bytes:
    photo = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    return _png(photo.resize((TRAINING_PHOTO.size, TRAINING_PHOTO.size), Image.Resampling.BICUBIC))


def _letterboxed(data: bytes) -> bytes:
    photo = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    return _png(ImageOps.pad(photo, (TRAINING_PHOTO.size, TRAINING_PHOTO.size), Image.Resampling.BICUBIC))


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


FRAMES: Mapping[str, Callable[[bytes], bytes]] = {
    "centre square, as served": bytes,
    "whole frame, squashed": _squashed,
    "whole frame, letterboxed": _letterboxed,
}


def agreement(bundle: Bundle, one: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, float]:
    """How alike two arrays of scores `[photos, labels]` are; tags are those of the default thresholds."""
    thresholds = np.array([label.default_threshold for label in bundle.labels], np.float32)
    first, second = one >= thresholds, other >= thresholds
    either = (first | second).sum()
    return {
        "mean_score_difference": float(np.abs(one - other).mean()),
        "tags_in_common": float((first & second).sum() / either) if either else 1.0,
        "same_best_label": float((one.argmax(1) == other.argmax(1)).mean()),
        "best_three_in_common": _overlap(_best(one, 3), _best(other, 3)),
    }


def _best(scores: NDArray[np.float32], count: int) -> list[set[int]]:
    return [set(row) for row in np.argsort(-scores, axis=1, kind="stable")[:, :count].tolist()]


def _overlap(one: Sequence[set[int]], other: Sequence[set[int]]) -> float:
    return float(np.mean([len(a & b) / len(a) for a, b in zip(one, other, strict=True)]))

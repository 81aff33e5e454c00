"""A model as it lies in the repository: `NAME/VERSION/{model.pt, manifest.json}`, read once and believed only if it
fits.

The manifest says what the network's numbers mean: labels, thresholds, preprocessing, sizes, and the SHA-256 of
`model.pt`. TorchScript is code, so the digest is checked before anything loads the file. Whatever does not fit is a
StartupError of one line that names the file and what is wrong with it. This file never imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from tagwright_server.errors import StartupError
from tagwright_server.manifests import read_described, read_manifest

MODEL_FILE = "model.pt"
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Label:
    """One output of the network and the scores from which on it counts."""

    name: str
    default_threshold: float
    thresholds: Mapping[str, float | None]  # by target precision ("0.5" to "0.9"); None: this label never reaches it
    average_precision: float


@dataclass(frozen=True, slots=True)
class Bundle:
    """One version of one model. `path` is its version folder; labels are in the order of the network's outputs."""

    name: str
    version: str
    path: Path
    labels: tuple[Label, ...]
    preprocessing: Mapping[str, Any]
    size: int  # side of the square the network sees, pixels
    embedding_size: int
    max_batch_size: int
    digest: str  # SHA-256 of model.pt, lower-case hexadecimal
    metrics: Mapping[str, float]
    architecture: str
    created: datetime
    canary_scores: tuple[float, ...]  # the network's scores for `canary_pixels`, as exported

    def read_model(self) -> bytes:
        """Return model.pt's bytes, whose digest is the manifest's; raise StartupError if it is not."""
        return read_described(self.path / MODEL_FILE, self.digest, by=MANIFEST_FILE)


def load_bundles(repository: Path) -> list[Bundle]:
    """Read the newest version of every model in `repository`, in the order of their names.

    Raises StartupError where there is no model, or where one of them is not what its manifest says.
    """
    if not repository.is_dir():
        raise StartupError(f"{repository}: no model repository there")
    folders = sorted(folder for folder in repository.iterdir() if folder.is_dir() and folder.name[0] not in "._")
    if not folders:
        raise StartupError(f"{repository}: the model repository holds no model")
    return [load_bundle(_newest_version(folder)) for folder in folders]


def load_bundle(path: Path) -> Bundle:
    """Read one version's folder, such as `model_repository/tagger/1`, and check it against its manifest."""
    manifest = read_manifest(path / MANIFEST_FILE, _Manifest)
    for field, said, found in (
        ("name", manifest.name, path.parent.name),
        ("version", manifest.version, path.name),
    ):
        if said != found:
            raise StartupError(f"{path / MANIFEST_FILE}: {field} is {said!r}, its folder says {found!r}")
    bundle = Bundle(
        name=manifest.name,
        version=manifest.version,
        path=path,
        labels=tuple(
            Label(label.name, label.default_threshold, label.thresholds, label.average_precision)
            for label in manifest.labels
        ),
        preprocessing=manifest.preprocessing,
        size=manifest.input.size,
        embedding_size=manifest.embedding_size,
        max_batch_size=manifest.max_batch_size,
        digest=manifest.digest_sha256,
        metrics=manifest.metrics,
        architecture=manifest.architecture,
        created=manifest.created,
        canary_scores=tuple(manifest.canary.scores),
    )
    bundle.read_model()
    return bundle


def canary_pixels(size: int) -> NDArray[np.uint8]:
    """Return the synthetic frame, uint8 [1, size, size, 3], whose scores every manifest carries.

    pixels[y, x, c] = (7 y + 13 x + 29 c) mod 256: busy enough that a wrong layout, order or weight shows in the scores.
    """
    y, x, c = np.ogrid[:size, :size, :3]
    pixels: NDArray[np.uint8] = ((y * 7 + x * 13 + c * 29) % 256).astype(np.uint8)
    return pixels[None]


_Score = Annotated[float, Field(ge=0.0, le=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class _Label(_Part):
    name: Annotated[str, Field(min_length=1)]
    default_threshold: _Score
    thresholds: dict[str, _Score | None]
    average_precision: _Score


class _Input(_Part):
    size: Annotated[int, Field(ge=1, le=1024)]
    layout: Literal["NHWC"]
    dtype: Literal["uint8"]


class _Canary(_Part):
    scores: list[_Score]


class _Manifest(_Part):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]
    architecture: str
    created: Annotated[AwareDatetime, Field(strict=False)]
    digest_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: _Input
    preprocessing: dict[str, Any]
    embedding_size: Annotated[int, Field(ge=1, le=256)]
    max_batch_size: Annotated[int, Field(ge=1, le=64)]
    labels: Annotated[list[_Label], Field(min_length=1)]
    metrics: dict[str, float]
    canary: _Canary

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> _Manifest:
        names = [label.name for label in self.labels]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"labels appear twice: {', '.join(twice)}")
        if len(self.canary.scores) != len(names):
            raise ValueError(f"canary has {len(self.canary.scores)} scores for {len(names)} labels")
        if self.preprocessing.get("size") != self.input.size:
            raise ValueError(
                f"preprocessing makes squares of {self.preprocessing.get('size')}, the network wants {self.input.size}"
            )
        return self


def _newest_version(folder: Path) -> Path:
    versions = [child for child in folder.iterdir() if child.is_dir() and child.name.isdecimal()]
    if not versions:
        raise StartupError(f"{folder}: holds no version folder such as {folder.name}/1")
    return max(versions, key=lambda version: int(version.name))

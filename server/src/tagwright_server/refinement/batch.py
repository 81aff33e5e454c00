"""A batch refiner as it lies on disk, `NAME/{manifest.json, factors.npz}`, and how it scores a photo it never saw.

Promises: `factors.npz` is read only if its SHA-256 is the manifest's and every array has the shape its method needs;
anything else is a StartupError of one line. Scores are probabilities from numpy alone, and training measures this code.
Never: unpickles, imports torch, or learns: a batch refiner is fitted by `tagwright-train refine`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tagwright_server.errors import StartupError
from tagwright_server.manifests import read_described, read_manifest

BATCH_FOLDER = "refiners"  # of a model's version
MANIFEST_FILE = "manifest.json"
FACTORS_FILE = "factors.npz"

Array = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
MethodName = Literal["robust-pca", "wdmf", "wdnl"]
BatchThresholds = dict[Literal["add", "remove"], dict[str, float | None]]


class BaseModelFacts(BaseModel):
    """The tagger whose embedding goes in: name@version and the SHA-256 of its model.pt."""

    model_config = ConfigDict(strict=True, frozen=True)
    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*@[1-9][0-9]*$")]
    digest_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BatchManifest(BaseModel):
    """What `manifest.json` says; unknown fields are left alone."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]
    method: MethodName
    base: BaseModelFacts
    vocabulary_size: Annotated[int, Field(ge=1)]
    embedding_size: Annotated[int, Field(ge=1, le=4096)]
    created: Annotated[AwareDatetime, Field(strict=False)]
    digest_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    thresholds: BatchThresholds = {}
    """By target precision: add what scores at least, remove what scores at most; None: never right so often."""
    metrics: dict[str, float] = {}


class Fold(Protocol):
    """Scores `[m, c]` for photos that were not fitted, from vectors `[m, D]` and their own tags, 0 or 1, `[m, c]`."""

    def scores(self, vectors: Array, tags: Array) -> Array:
        """Higher is likelier; not yet a probability."""


@dataclass(frozen=True, slots=True)
class LinearFold:
    """RobustPCA: the photo's row is predicted in the low-rank basis, mixed with its own tags and shrunk as in the fit.

    u = (1 - own) (x H + h) + own (y / scale) V ; scores = ((u * gain) V') * scale.
    """

    head: Array  # [D, r]
    head_bias: Array  # [r]
    basis: Array  # [c, r], orthonormal columns
    gain: Array  # [r]: share of each direction that the last singular value shrink left
    scale: Array  # [c]: what one unit of the factorised matrix is worth for a tag
    own: Array  # [1]

    def scores(self, vectors: Array, tags: Array) -> Array:
        """See the class."""
        own = float(self.own[0])
        u = (1 - own) * (vectors @ self.head + self.head_bias) + own * ((tags / self.scale) @ self.basis)
        found: Array = ((u * self.gain) @ self.basis.T) * self.scale
        return found


@dataclass(frozen=True, slots=True)
class Network:
    """f(x) = relu(relu(x W1 + b1) W2 + b2) B + x L + b, from vectors `[m, D]` to `[m, r]`."""

    first: Array  # [D, H]
    first_bias: Array  # [H]
    second: Array  # [H, K]
    second_bias: Array  # [K]
    last: Array  # [K, r]
    linear: Array  # [D, r]
    bias: Array  # [r]

    def __call__(self, vectors: Array) -> Array:
        """See the class."""
        hidden = np.maximum(vectors @ self.first + self.first_bias, 0)
        hidden = np.maximum(hidden @ self.second + self.second_bias, 0)
        found: Array = hidden @ self.last + vectors @ self.linear + self.bias
        return found


@dataclass(frozen=True, slots=True)
class FactorFold(Network):
    """WDMF: one step for the photo's factor, as the fit does it, from the network's guess and its own tags.

    (V'V + a sum_t v_t v_t' + (l + q) I) u = (1 + a) sum_t v_t / s_t + q f(x), t over the photo's tags ;
    scores = V u * s, s the scale.
    """

    tag_factors: Array  # [c, r]
    weights: Array  # [3]: a, l, q
    scale: Array  # [c]

    def scores(self, vectors: Array, tags: Array) -> Array:
        """See the class."""
        found: Array = (self.factors(vectors, tags) @ self.tag_factors.T) * self.scale
        return found

    def factors(self, vectors: Array, tags: Array) -> Array:
        """The photos' factors `[m, r]`."""
        confidence, ridge, pull = (float(weight) for weight in self.weights)
        v = self.tag_factors
        common = v.T @ v + (ridge + pull) * np.eye(v.shape[1], dtype=np.float32)
        right = (1 + confidence) * ((tags / self.scale) @ v) + pull * self(vectors)
        found = np.empty_like(right)
        for row, own in enumerate(tags):
            mine = v[own > 0]
            found[row] = np.linalg.solve(common + confidence * (mine.T @ mine), right[row])
        return found


@dataclass(frozen=True, slots=True)
class RectifiedFold(Network):
    """WDNL: the network's f(x), then the fit's own proximal steps on the photo's row, without its neighbours.

    G = F - s ((F - f) + e (F - F T)) ; G = y + soft(G - y, s w) ; G = G V diag(gain) V' ; F = max(G, 0).
    All of it in units of `scale`.
    """

    basis: Array  # [c, r], orthonormal columns
    gain: Array  # [r]
    tag_graph: Array  # [c, c]: T, symmetric, largest eigenvalue 1
    weights: Array  # [5]: step s, tag graph e, weight of a given tag, of an absent one, number of steps
    scale: Array  # [c]

    def scores(self, vectors: Array, tags: Array) -> Array:
        """See the class."""
        step, graph, given, absent, steps = (float(weight) for weight in self.weights)
        guess = self(vectors)
        targets = tags / self.scale
        threshold = step * np.where(tags > 0, np.float32(given), np.float32(absent))
        f = np.maximum(guess, 0)
        for _ in range(int(steps)):
            moved = f - step * ((f - guess) + (graph * (f - f @ self.tag_graph) if graph else 0))
            moved = targets + soft_threshold(moved - targets, threshold)
            f = np.maximum((moved @ self.basis * self.gain) @ self.basis.T, 0)
        found: Array = f * self.scale
        return found


FOLDS: Mapping[str, type[LinearFold] | type[FactorFold] | type[RectifiedFold]] = {
    "robust-pca": LinearFold,
    "wdmf": FactorFold,
    "wdnl": RectifiedFold,
}

_NETWORK = {"first": "DH", "first_bias": "H", "second": "HK", "second_bias": "K"}
_SHAPES: Mapping[str, Mapping[str, str]] = {
    "robust-pca": {"head": "Dr", "head_bias": "r", "basis": "cr", "gain": "r", "scale": "c", "own": "1"},
    "wdmf": {
        **_NETWORK, "last": "Kr", "linear": "Dr", "bias": "r", "tag_factors": "cr", "weights": "3", "scale": "c",
    },
    "wdnl": {
        **_NETWORK, "last": "Kc", "linear": "Dc", "bias": "c", "basis": "cr", "gain": "r", "tag_graph": "cc",
        "weights": "5", "scale": "c",
    },
}  # fmt: skip


def soft_threshold(values: Array, threshold: Array | float) -> Array:
    """The proximal map of threshold * |x|: towards 0 by the threshold, and no further."""
    found: Array = np.sign(values) * np.maximum(np.abs(values) - threshold, 0)
    return found


def fold_of(method: str, arrays: Arrays) -> Fold:
    """The method's fold from arrays of any float type; those it does not know are left out."""
    return FOLDS[method](**{name: np.asarray(arrays[name], np.float32) for name in _SHAPES[method]})


def calibrated(scores: Array, slope: Array, offset: Array) -> Array:
    """Probabilities: sigmoid(slope * score + offset) a tag (Platt 1999)."""
    found: Array = 1 / (1 + np.exp(-np.clip(scores * slope + offset, -30, 30)))
    return found


@dataclass(frozen=True, slots=True)
class BatchRefiner:
    """A batch refiner that was loaded and checked."""

    manifest: BatchManifest
    names: tuple[str, ...]
    fold: Fold
    slope: Array
    offset: Array
    columns: Mapping[str, int]

    @classmethod
    def load(cls, folder: Path) -> BatchRefiner:
        """Read `folder/{manifest.json, factors.npz}`. Raises StartupError of one line if they do not fit."""
        manifest = read_manifest(folder / MANIFEST_FILE, BatchManifest)
        file = folder / FACTORS_FILE
        arrays = _read_arrays(file, manifest.digest_sha256)
        names = _check(file, manifest, arrays)
        return cls(
            manifest=manifest,
            names=names,
            fold=fold_of(manifest.method, arrays),
            slope=arrays["slope"].astype(np.float32),
            offset=arrays["offset"].astype(np.float32),
            columns={name: column for column, name in enumerate(names)},
        )

    def scores(self, embedding: Array, user_tags: Sequence[str]) -> dict[str, float]:
        """Probability of every tag of the vocabulary for one photo: embedding `[D]`, L2-normalised, and its own tags.

        A user tag that is not in the vocabulary counts for nothing. Raises ValueError if the embedding has another size
        than the one that was fitted, or is not finite.
        """
        vector = np.asarray(embedding, np.float32)
        if vector.shape != (self.manifest.embedding_size,) or not np.isfinite(vector).all():
            raise ValueError(f"embedding: {self.manifest.embedding_size} finite numbers are needed")
        tags = np.zeros((1, len(self.names)), np.float32)
        tags[0, [self.columns[tag] for tag in user_tags if tag in self.columns]] = 1
        found = calibrated(self.fold.scores(vector[None], tags), self.slope, self.offset)[0]
        return dict(zip(self.names, found.tolist(), strict=True))


def _read_arrays(file: Path, digest: str) -> dict[str, NDArray[Any]]:
    content = read_described(file, digest, by=MANIFEST_FILE)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as err:
        raise StartupError(f"{file}: not an archive of plain arrays: {err}") from err


def _check(file: Path, manifest: BatchManifest, arrays: Arrays) -> tuple[str, ...]:
    """The vocabulary, once every array has the shape and type that the method needs."""
    shapes = {**_SHAPES[manifest.method], "slope": "c", "offset": "c", "names": "b"}
    if missing := [name for name in shapes if name not in arrays]:
        raise StartupError(f"{file}: lacks {', '.join(missing)}, which {manifest.method} needs")
    sizes = {"D": manifest.embedding_size, "c": manifest.vocabulary_size, "1": 1, "3": 3, "5": 5}
    for name, letters in shapes.items():
        array = arrays[name]
        if array.dtype.kind != ("u" if name == "names" else "f"):
            raise StartupError(f"{file}: {name} holds {array.dtype}, which is not what belongs there")
        wanted = tuple(sizes.setdefault(letter, size) for letter, size in zip(letters, array.shape, strict=False))
        if array.shape != wanted or array.ndim != len(letters):
            raise StartupError(f"{file}: {name} has the shape {list(array.shape)}, which does not fit the others")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StartupError(f"{file}: {name} holds a number that is not finite")
    try:
        names = tuple(arrays["names"].astype(np.uint8).tobytes().decode("utf-8").split("\n"))
    except UnicodeDecodeError as err:
        raise StartupError(f"{file}: names is not UTF-8") from err
    if len(names) != manifest.vocabulary_size or len(set(names)) != len(names):
        raise StartupError(f"{file}: names does not hold {manifest.vocabulary_size} different tags")
    return names

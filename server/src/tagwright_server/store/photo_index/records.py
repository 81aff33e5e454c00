"""What the photo index takes and gives, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A photo as the index has it.

    `number` and `id` are the photo's, `owner_id` is its account's. `tags` are those that people gave and nobody
    rejected, in the order in which they were typed. `vector`: float32 [D], of length 1, rounded to float16.
    """

    number: int
    id: str
    owner_id: str
    shared: bool
    author: str
    tags: tuple[str, ...]
    vector: NDArray[np.float32]

    @property
    def seen_by(self) -> str:
        """The account that alone sees it, "" for everybody."""
        return "" if self.shared else self.owner_id


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Some photos: vectors float32 [n, D], n times tags, and who sees each: an account, or "" for everybody."""

    vectors: NDArray[np.float32]
    tags: list[tuple[str, ...]]
    seen_by: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Photos, the nearest first: numbers int64 [k], similarities float32 [k] (cosines, descending), and k of each."""

    numbers: NDArray[np.int64]
    similarities: NDArray[np.float32]
    ids: tuple[str, ...]
    authors: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Which photos may be found: those that an account sees, its own and the shared ones, None: all; of those, where
    it is given, those with the numbers `among`, int64 [n], and those with numbers up to `up_to`.
    """

    visible_to: str | None
    among: NDArray[np.int64] | None = None
    up_to: int | None = None

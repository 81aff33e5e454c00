"""What a photo's own tags say about the labels of a network: which tags mean one, and how much each tells of others.

`sunset` tells of sky and clouds, `wedding` of people: learnt from photos of which experts said which labels hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelWords:
    """A ridge regression from the tags of a photo to its labels: weights float32 [tags, labels], offsets [labels].

    The tags of a photo count 1 / sqrt(1 + n) each, n how many of them are known.
    """

    label_of: Mapping[str, str]
    """The label that means a tag, of those that one does."""
    rows: Mapping[str, int]
    columns: Mapping[str, int]
    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]

    def under(self, aliases: Mapping[str, str]) -> LabelWords:
        """Return the same with the names that tags have where `aliases` says which tags other names mean."""
        label_of = {aliases[tag]: label for tag, label in self.label_of.items() if tag in aliases}
        rows = {aliases[tag]: row for tag, row in self.rows.items() if tag in aliases}
        return replace(self, label_of=label_of | dict(self.label_of), rows=rows | dict(self.rows))

    def tell(self, tags: Sequence[str], label: str, *, without: str = "") -> float:
        """Return what a photo's tags say of a label, more is likelier; 0 where the label is not known.

        `without` is a tag that is not to speak for itself.
        """
        column = self.columns.get(label)
        if column is None:
            return 0.0
        rows = [row for tag in tags if tag != without and (row := self.rows.get(tag)) is not None]
        said = float(self.weights[rows, column].sum()) / math.sqrt(1 + len(rows)) if rows else 0.0
        return said + float(self.offsets[column])


def to_arrays(
    names: Sequence[str], labels: Sequence[str], weights: NDArray[np.floating[Any]], offsets: NDArray[np.floating[Any]]
) -> dict[str, NDArray[Any]]:
    """Return a regression as arrays that can be stored without pickle."""
    return {
        "word_names": np.frombuffer("\n".join(names).encode(), np.uint8),
        "word_labels": np.frombuffer("\n".join(labels).encode(), np.uint8),
        "word_weights": weights.astype(np.float16),
        "word_offsets": offsets.astype(np.float32),
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]], tags_of_label: Mapping[str, Sequence[str]]) -> LabelWords:
    """Return the regression of such arrays; raises KeyError and ValueError where they are none."""
    names, labels = (arrays[key].tobytes().decode().split("\n") for key in ("word_names", "word_labels"))
    weights, offsets = arrays["word_weights"].astype(np.float32), arrays["word_offsets"].astype(np.float32)
    if weights.shape != (len(names), len(labels)) or offsets.shape != (len(labels),):
        raise ValueError("words, labels and weights do not belong together")
    return LabelWords(
        {tag: label for label, tags in tags_of_label.items() for tag in tags},
        {name: row for row, name in enumerate(names)},
        {label: column for column, label in enumerate(labels)},
        weights,
        offsets,
    )

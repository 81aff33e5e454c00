"""The server's own refiner as a method of the harness: the code that is served, with the weights that are served.

It sees expert labels: through the tagger's scores, and through the weights that were fitted on the calibration part.
`StrictRefinement` is the same with what the server does not have: the network's outputs for the strict labels of the
14-tag protocol, and features of two more networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tagwright_server.refinement.artefact import Artefact
from tagwright_server.refinement.evidence import gather
from tagwright_server.refinement.records import Photo
from tagwright_server.refinement.refiner import Refiner
from tagwright_server.refinement.starter import StarterLibrary
from tagwright_training.refinement.corpus import Embedded
from tagwright_training.refinement.weak import WordsAndProbe


@dataclass(frozen=True, slots=True)
class OnlineRefinement:
    """Neighbour votes, probes, co-occurrence, the network and the owner, as the server weighs them."""

    artefact: Artefact
    name: str = "online refiner"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities that the tags are right, `[photos, names]`; the library votes in place of the starter's."""
        if photos.label_scores is None:
            raise ValueError("the online refiner weighs the tagger's scores, and there are none")
        refiner = Refiner(self.artefact)
        voting = library_of(library)
        statistics = voting.statistics()
        found = np.zeros((len(photos.vectors), len(names)), np.float32)
        for row, vector in enumerate(photos.vectors):
            scores = dict(zip(photos.label_names, photos.label_scores[row].tolist(), strict=True))
            photo = Photo(vector, scores, photos.tags.typed(row))
            neighbours = voting.neighbours(vector, refiner.neighbours)
            found[row] = refiner.scores(gather(photo, neighbours, statistics, names, self.artefact.label_words))
        return found


@dataclass(frozen=True, slots=True)
class StrictRefinement:
    """The online refiner told of the strict labels, and words and probe on features that no expert label touched.

    s(t | x) = logit of the refiner's probability + OTHER_EYES * words and probe. For the tag of a strict label the
    network's logit is SHARE of that output's and the rest the plain one's. Both weights are round numbers that cost
    nothing on the calibrate part, on which the refiner itself was fitted.
    """

    artefact: Artefact
    strict: NDArray[np.float32]
    """Scores `[photos, strict labels]`."""
    strict_names: tuple[str, ...]
    library: Embedded
    """The library and the photos with ImageNet features."""
    photos: Embedded
    name: str = "all evidence, strict"

    SHARE: ClassVar[float] = 0.7
    OTHER_EYES: ClassVar[float] = 0.2

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> NDArray[np.float32]:
        """`[photos, names]`, higher is likelier."""
        assert photos.label_scores is not None
        told = photos.label_scores.copy()
        for column, label in enumerate(self.strict_names):
            place = photos.label_names.index(label)
            mixed = self.SHARE * _logit(self.strict[:, column]) + (1 - self.SHARE) * _logit(told[:, place])
            told[:, place] = 1 / (1 + np.exp(-mixed))
        refined = OnlineRefinement(self.artefact).scores(library, replace(photos, label_scores=told), names)
        others = WordsAndProbe().scores(self.library, self.photos, names)
        found: NDArray[np.float32] = _logit(refined) + self.OTHER_EYES * others
        return found


def _logit(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    inside = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)), np.float32)


def library_of(library: Embedded) -> StarterLibrary:
    """Return tagged photos as a library that votes."""
    return StarterLibrary(library.vectors, tuple(library.tags.typed(row) for row in range(library.tags.shape[0])))

"""The server's own refiner as a method of the harness: the code that is served, with the weights that are served.

It sees expert labels: through the tagger's scores, and through the weights that were fitted on the calibration part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.refinement.artefact import Artefact
from tagwright_server.refinement.evidence import gather
from tagwright_server.refinement.records import Photo
from tagwright_server.refinement.refiner import Refiner
from tagwright_server.refinement.starter import StarterLibrary
from tagwright_training.refinement.corpus import Embedded


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


def library_of(library: Embedded) -> StarterLibrary:
    """Return tagged photos as a library that votes."""
    return StarterLibrary(library.vectors, tuple(library.tags.typed(row) for row in range(library.tags.shape[0])))

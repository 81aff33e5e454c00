"""What every refinement method offers, so that one harness can measure them all.

Never: a place for code that methods share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import Embedded


class Method(Protocol):
    """Scores tags for photos from a library of tagged photos.

    A method may learn from the photos' vectors and user tags as well as from the library's (refinement is transductive:
    the photos are at hand when it is run). It sees expert labels only through `label_scores`, and says so if it does.
    """

    @property
    def name(self) -> str:
        """How tables and plots call it."""

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> NDArray[np.float32]:
        """How likely each tag holds, `[photos, names]`, higher is likelier; comparable within a tag at least."""

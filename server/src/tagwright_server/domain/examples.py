"""What an example photo looks like: one that is sent, or one that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.domain.access import Caller
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.keeping import visible_to
from tagwright_server.domain.models import Models, full_name
from tagwright_server.domain.tagging import PhotoRequest, Tagger, Timings
from tagwright_server.domain.tags import TaggingOptions
from tagwright_server.errors import NotFound
from tagwright_server.store.blobs import BlobMissing, Blobs
from tagwright_server.store.image_records import Image
from tagwright_server.store.photo_index import PhotoIndex
from tagwright_server.store.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A look: embedding float32 [D]; `image` is the photo, where it is kept."""

    embedding: NDArray[np.float32]
    image: Image | None = None
    timings: Timings = Timings()  # noqa: RUF009  (frozen)


class Examples:
    """Looks at example photos with the default model."""

    def __init__(self, store: Store, blobs: Blobs, *, tagger: Tagger, models: Models) -> None:
        self._store = store
        self._blobs = blobs
        self._tagger = tagger
        self._models = models

    @property
    def model_version(self) -> str:
        """The model that looks, `name@version`."""
        return full_name(self._models.default)

    def sent(self, image: bytes, deadline: Deadline) -> Example:
        """Return the look of a photo that is sent; raises what tagging raises."""
        looked, timings = self._tagger.tag(PhotoRequest(image, TaggingOptions()), deadline)
        return Example(looked.look.embedding, None, timings)

    def kept(self, image_id: str, looks: PhotoIndex, deadline: Deadline, *, by: Caller) -> Example:
        """Return the look of a photo that is kept; raises NotFound, and what tagging raises where it has to be done."""
        image = self._see(image_id, by)
        _, vectors = looks.vectors(np.array([image.number], np.int64))
        if len(vectors):
            return Example(vectors[0], image)
        try:
            kept = self._blobs.read(image.content.sha256)
        except BlobMissing:
            self._see(image_id, by)  # deleted meanwhile: then that is what there is to say
            raise
        looked, timings = self._tagger.tag(PhotoRequest(kept, TaggingOptions(), ours=True), deadline)
        return Example(looked.look.embedding, image, timings)

    def _see(self, image_id: str, by: Caller) -> Image:
        image = self._store.images.get(image_id, visible_to=visible_to(by))
        if image is None:
            raise NotFound("there is no such photo")
        return image

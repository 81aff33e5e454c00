"""One photo or many to their tags: decode, run the model, choose. The use case that everything else stands around.

Promises: a photo's own fault is that photo's alone; what concerns all photos ends the call. Nothing is begun for a
caller who has hung up or whose time has run out: that is looked at before each run of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tagwright_server.clock import Clock
from tagwright_server.domain.capacity import Capacity
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.decisions import Refined, Seen, given, refined, tagged
from tagwright_server.domain.models import Models, full_name
from tagwright_server.domain.tags import Evidence, Tag, TaggingOptions, check_options, choose_tags
from tagwright_server.errors import ArgumentInvalid, DeadlineExceeded, ImageRejected, NotFound, Overloaded
from tagwright_server.inference.backend import Backend
from tagwright_server.inference.bundle import Bundle
from tagwright_server.store.image_records import ImageTag, TagSource


class Kept(Protocol):
    """What is to be kept of a photo: its pixels encoded anew, upright and without metadata, and what the metadata said.

    `perceptual_hash` has 64 bits, of which photos that look the same differ in few.
    """

    @property
    def data(self) -> bytes: ...  # noqa: D102  (said above)
    @property
    def width(self) -> int: ...  # noqa: D102  (said above)
    @property
    def height(self) -> int: ...  # noqa: D102  (said above)
    @property
    def perceptual_hash(self) -> int: ...  # noqa: D102  (said above)
    @property
    def captured(self) -> datetime | None: ...  # noqa: D102  (said above)
    @property
    def keywords(self) -> tuple[str, ...]: ...  # noqa: D102  (said above)


class Photo(Protocol):
    """A decoded photo: uint8 [size, size, 3] for the network, width and height as people see it."""

    @property
    def pixels(self) -> NDArray[np.uint8]: ...  # noqa: D102  (said above)
    @property
    def width(self) -> int: ...  # noqa: D102  (said above)
    @property
    def height(self) -> int: ...  # noqa: D102  (said above)
    @property
    def format(self) -> str: ...  # noqa: D102  (said above)
    @property
    def kept(self) -> Kept | None: ...  # noqa: D102  (only where it was asked for)


class Decoded(Protocol):
    """A decoded photo and how long it waited before somebody began."""

    @property
    def photo(self) -> Photo: ...  # noqa: D102  (said above)
    @property
    def queue_s(self) -> float: ...  # noqa: D102  (said above)


class DecodeJob(Protocol):
    """A photo that is being decoded somewhere else."""

    def result(self, *, timeout_s: float) -> Decoded:
        """Wait for the photo; raises ImageRejected, DeadlineExceeded or, where it was dropped, Overloaded."""
        ...

    def cancel(self) -> None:
        """Drop it if it still waits; never blocks."""
        ...


class Thumbnail(Protocol):
    """A small JPEG."""

    @property
    def data(self) -> bytes: ...  # noqa: D102  (said above)


class Decoder(Protocol):
    """Where photos are decoded, away from this process."""

    def submit(self, data: bytes, model: Bundle, *, keep: bool = False, ours: bool = False) -> DecodeJob:
        """Begin to decode `data` into what `model` looks at, and with `keep` into what is kept.

        `ours` is what was kept of a photo. Raises ImageRejected or Overloaded.
        """
        ...

    def thumbnail(self, data: bytes, *, timeout_s: float) -> Thumbnail:
        """Make a small picture of what is kept of a photo; raises Overloaded and DeadlineExceeded."""
        ...


@dataclass(frozen=True, slots=True)
class PhotoRequest:
    """One encoded photo and what is wanted of it; with `keep`, all that is needed to keep it as well.

    `ours` is what was kept of a photo.
    """

    image: bytes
    options: TaggingOptions
    keep: bool = False
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What a model saw: float32 [labels] calibrated scores, float32 [D] embedding; `kept` where it was asked for."""

    model: Bundle
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class ImageTags:
    """What is known of one photo: the tags that were asked for, and the whole `look` behind them."""

    tags: tuple[Tag, ...]
    model_version: str
    width: int
    height: int
    format: str
    look: Look
    include_embedding: bool = False

    def evidence(self, name: str) -> tuple[Evidence, ...]:
        """Return what a tag rests on, where that was asked for."""
        return next((tag.evidence for tag in self.tags if tag.name == name), ())

    def asked_for(self) -> tuple[ImageTag, ...]:
        """Return the labels that the request names and whose scores are not enough."""
        unreached = {tag.name for tag in self.tags if not tag.reached}
        return tuple(tag for tag in self.with_given(()) if tag.name in unreached)

    def with_given(self, names: Sequence[str], found: Refined | None = None) -> tuple[ImageTag, ...]:
        """Return the tags that were asked for as those of a photo that nobody keeps, and those that its owner gives.

        `found` is what refinement says of all of them.
        """
        scores = dict(zip((label.name for label in self.look.model.labels), self.look.scores.tolist(), strict=True))
        saw = Seen(self.model_version, scores, [tag.name for tag in self.tags])
        tags = given(tagged((), saw).tags, names, source=TagSource.USER, seen=saw).tags
        return tags if found is None else refined(tags, found).tags


PhotoError = ImageRejected | ArgumentInvalid | NotFound  # what fails one photo of many


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a call's time went."""

    decode_s: float = 0.0
    queue_s: float = 0.0
    inference_s: float = 0.0
    refinement_s: float = 0.0
    search_s: float = 0.0
    store_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Tagged:
    """Results in the order of the requests."""

    results: tuple[ImageTags | PhotoError, ...]
    timings: Timings


class Tagger:
    """Tags photos with the served models."""

    def __init__(self, *, models: Models, backend: Backend, decoder: Decoder, photos: Capacity, clock: Clock) -> None:
        self._models = models
        self._backend = backend
        self._decoder = decoder
        self._photos = photos
        self._clock = clock

    def check(self, options: TaggingOptions) -> Bundle:
        """Return the model that these options mean; raises NotFound and ArgumentInvalid for what makes no sense."""
        model = self._models.find(options.model)
        check_options(model, options)
        return model

    def tag(self, request: PhotoRequest, deadline: Deadline) -> tuple[ImageTags, Timings]:
        """Tag one photo; raises any of the domain errors."""
        tagged = self.tag_many([request], deadline)
        (result,) = tagged.results
        if not isinstance(result, ImageTags):
            raise result
        return result, tagged.timings

    def tag_many(self, requests: Sequence[PhotoRequest], deadline: Deadline) -> Tagged:
        """Tag photos together.

        Raises only what concerns all of them: Overloaded, ModelUnavailable, DeadlineExceeded, CallerGone.
        """
        with self._photos.hold(len(requests)):
            return _Batch(requests, self.check).run(self._decoder, self._backend, deadline, self._clock)


class _Batch:
    """The photos of one call on their way; an error takes a photo out of what is still to do."""

    def __init__(self, requests: Sequence[PhotoRequest], check: Callable[[TaggingOptions], Bundle]) -> None:
        self._requests = requests
        self._results: dict[int, ImageTags | PhotoError] = {}
        self._chosen: dict[int, Bundle] = {}
        for index, request in enumerate(requests):
            try:
                self._chosen[index] = check(request.options)
            except (ArgumentInvalid, NotFound) as err:
                self._results[index] = err

    def run(self, decoder: Decoder, backend: Backend, deadline: Deadline, clock: Clock) -> Tagged:
        deadline.check("the photo was decoded")
        begun_s = clock.monotonic_s()
        photos, decode_queue_s = self._decode(decoder, deadline)
        decode_s = max(0.0, clock.monotonic_s() - begun_s - decode_queue_s)
        queue_s, inference_s = self._infer(photos, backend, deadline)
        results = tuple(self._results[index] for index in range(len(self._requests)))
        return Tagged(results, Timings(decode_s, decode_queue_s + queue_s, inference_s))

    def _decode(self, decoder: Decoder, deadline: Deadline) -> tuple[dict[int, Photo], float]:
        """Decode everything at once, so that the workers see a queue; returns the photos and the wait for the first."""
        jobs: dict[int, DecodeJob] = {}
        decoded: dict[int, Decoded] = {}
        try:
            for index, model in self._chosen.items():
                with self._alone(index):
                    request = self._requests[index]
                    jobs[index] = job = decoder.submit(request.image, model, keep=request.keep, ours=request.ours)
                    deadline.when_gone(job.cancel)
            for index, job in jobs.items():
                with self._alone(index):
                    decoded[index] = job.result(timeout_s=deadline.remaining_s())
        except (DeadlineExceeded, Overloaded):
            deadline.check("the photo was decoded")  # where the caller is gone, that is why the photo was dropped
            raise
        finally:
            deadline.forget()
            for index in jobs.keys() - decoded.keys():
                jobs[index].cancel()
        waited_s = min((each.queue_s for each in decoded.values()), default=0.0)
        return {index: each.photo for index, each in decoded.items()}, waited_s

    @contextmanager
    def _alone(self, index: int) -> Iterator[None]:
        """Let a rejected photo fail alone."""
        try:
            yield
        except ImageRejected as err:
            self._results[index] = err

    def _infer(self, photos: dict[int, Photo], backend: Backend, deadline: Deadline) -> tuple[float, float]:
        queue_s = inference_s = 0.0
        for model in {id(self._chosen[index]): self._chosen[index] for index in photos}.values():
            indices = [index for index in photos if self._chosen[index] is model]
            for start in range(0, len(indices), model.max_batch_size):  # one run of the network, then look again
                chunk = indices[start : start + model.max_batch_size]
                deadline.check("the model looked at the photo")
                pixels = [photos[index].pixels for index in chunk]
                stacked = pixels[0][None] if len(pixels) == 1 else np.stack(pixels)
                prediction = backend.infer(model, stacked, timeout_s=deadline.remaining_s())
                queue_s += prediction.queue_s
                inference_s += prediction.inference_s
                for row, index in enumerate(chunk):
                    self._results[index] = self._image_tags(
                        index, photos[index], prediction.scores[row], prediction.embedding[row]
                    )
        return queue_s, inference_s

    def _image_tags(
        self, index: int, photo: Photo, scores: NDArray[np.float32], embedding: NDArray[np.float32]
    ) -> ImageTags:
        model, options = self._chosen[index], self._requests[index].options
        return ImageTags(
            tags=choose_tags(model, scores, options),
            model_version=full_name(model),
            width=photo.width,
            height=photo.height,
            format=photo.format,
            look=Look(model, scores, embedding, photo.kept),
            include_embedding=options.include_embedding,
        )

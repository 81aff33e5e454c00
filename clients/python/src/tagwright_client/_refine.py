"""The call that judges the tags of one photo: which are right, which are wrong, which are missing, and why."""

from __future__ import annotations

from collections.abc import Iterable

from tagwright.v1 import tagging_service_pb2 as pb

from . import _account_convert as arguments
from . import _convert, _photos
from ._errors import ArgumentInvalid, ImageRejected
from ._part import Part
from ._photos import Photo
from ._security import refused
from ._values import Refinement

REFINE_TIMEOUT_S = 30.0


class Refining(Part):
    """What every client can do to have a photo's tags judged. It changes nothing; `review` does."""

    def refine(
        self,
        photo: Photo | None = None,
        *,
        image_id: str | None = None,
        user_tags: Iterable[str] = (),
        target_precision: float | None = None,
        min_score: float | None = None,
        max_tags: int | None = None,
        include_tags: Iterable[str] = (),
        exclude_tags: Iterable[str] = (),
        model: str | None = None,
        include_embedding: bool = False,
        timeout_s: float = REFINE_TIMEOUT_S,
    ) -> Refinement:
        """Return which of a photo's tags are right, which are wrong and which are missing, each with its reasons.

        The photo is either sent, as `tag` takes it, and not kept; or it is one that the server keeps, by `image_id`.
        `user_tags` are those that its owner gave it, in their order; without any, those that people gave a kept photo.
        Photos that look alike vote, of those that one may see. Tags that cannot be judged by looking are never removed.

        `target_precision=0.9`: remove and add only what is right nine times in ten. `min_score` (0 to 1) and `max_tags`
        narrow down what is added. Tags in `include_tags` are judged as well, those in `exclude_tags` never added.
        `model` is `name` or `name@version`; one without a refiner is an ArgumentInvalid.
        """
        if (photo is None) == (image_id is None):
            raise refused("photo", "give a photo, or the image_id of one that is kept: one of them")
        if image_id == "":
            raise refused("image_id", "it is empty")
        options = _convert.options(
            min_score=min_score,
            max_tags=max_tags,
            target_precision=target_precision,
            include_tags=include_tags,
            exclude_tags=exclude_tags,
            model=model,
            include_embedding=include_embedding,
            include_evidence=True,  # a decision that does not say why is worth little
        )
        request = pb.RefineTagsRequest(user_tags=arguments.texts("user_tags", user_tags), options=options)
        if photo is not None:
            request.image = _photos.read(photo)  # last: what is wrong with the rest is said without reading it
        else:
            request.image_id = arguments.text("image_id", image_id)
        response, timings = self._connection.timed_call(
            self._stub.RefineTags,
            request,
            timeout_s=timeout_s,
            oversize=ImageRejected if photo is not None else ArgumentInvalid,
        )
        return _convert.refinement(response, timings=timings)

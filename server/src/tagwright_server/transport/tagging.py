"""TaggingService: each method converts in, calls one function of the domain, converts out.

The calls about photos that are kept, tags by themselves and work in the background have files of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import grpc

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceServicer
from tagwright_server.clock import Clock
from tagwright_server.domain import access
from tagwright_server.domain.access import Caller
from tagwright_server.domain.keeping import Candidate, KeptPhoto, Submission, candidate, check_said
from tagwright_server.domain.models import full_name
from tagwright_server.domain.refining import Refinement
from tagwright_server.domain.tag_names import tag_names
from tagwright_server.domain.tagging import ImageTags, PhotoError, Timings
from tagwright_server.domain.tags import TaggingOptions
from tagwright_server.errors import TagwrightError
from tagwright_server.store.image_records import Visibility
from tagwright_server.transport import call, convert
from tagwright_server.transport import convert_images as convert_image
from tagwright_server.transport.access import TO_KEEP
from tagwright_server.transport.images import ImageCalls
from tagwright_server.transport.once import answer_once
from tagwright_server.transport.operations import OperationCalls
from tagwright_server.transport.paging import page
from tagwright_server.transport.parts import TaggingParts
from tagwright_server.transport.refinement import RefinementCalls, decisions
from tagwright_server.transport.uploads import UploadCalls
from tagwright_server.transport.vocabulary import VocabularyCalls


class TaggingService(UploadCalls, ImageCalls, RefinementCalls, VocabularyCalls, OperationCalls, TaggingServiceServicer):
    """Photos to tags, over gRPC. Errors are raised as domain errors; the guard makes statuses of them."""

    def __init__(self, parts: TaggingParts) -> None:
        self._parts = parts
        self._started_s = parts.clock.monotonic_s()

    def TagImage(self, request: pb.TagImageRequest, context: grpc.ServicerContext) -> pb.TagImageResponse:
        """Tag one photo, and keep it where that is wanted."""
        now = call.current()
        said = _submission(request)
        if request.store:
            access.check(TO_KEEP, now.caller)
            return self._keep(request, said, lambda: self._look(request))
        return self._tell(said, self._look(request), convert.options(request.options))

    def TagImages(self, request: pb.TagImagesRequest, context: grpc.ServicerContext) -> pb.TagImagesResponse:
        """Tag several photos; a bad one fails alone."""
        now = call.current()
        if any(one.store for one in request.requests):
            access.check(TO_KEEP, now.caller)
        answers: dict[int, pb.TagImageResponse | TagwrightError] = {}
        said: dict[int, Submission] = {}
        for index, one in enumerate(request.requests):
            try:
                said[index] = _submission(one)
            except TagwrightError as err:
                answers[index] = err
        tagged = self._parts.tagger.tag_many(
            [convert.photo_request(request.requests[index]) for index in said], now.deadline
        )
        now.timings = tagged.timings
        for index, found in zip(said, tagged.results, strict=True):
            try:
                answers[index] = self._answer(request.requests[index], said[index], found)
            except TagwrightError as err:
                answers[index] = err
        return pb.TagImagesResponse(results=[convert.result(index, answers[index]) for index in sorted(answers)])

    def ListModels(self, request: pb.ListModelsRequest, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        """List the served models, the default one first."""
        models, refining = self._parts.models, self._parts.refining
        shown, next_page_token = page(
            models.ordered,
            page_size=request.page_size,
            page_token=request.page_token,
            bound_to="ListModels " + " ".join(map(full_name, models.ordered)),
        )
        response = pb.ListModelsResponse(
            models=[
                convert.model(
                    model,
                    is_default=model is models.default,
                    refines=refining.can(model),
                    batch_refiners=refining.batches_of(model),
                )
                for model in shown
            ],
            next_page_token=next_page_token,
            engine=self._parts.backend.engine,
        )
        response.uptime.FromNanoseconds(int((self._parts.clock.monotonic_s() - self._started_s) * 1e9))
        return response

    def _look(self, request: pb.TagImageRequest) -> ImageTags:
        now = call.current()
        found, now.timings = self._parts.tagger.tag(convert.photo_request(request), now.deadline)
        return found

    def _answer(
        self, request: pb.TagImageRequest, said: Submission, found: ImageTags | PhotoError
    ) -> pb.TagImageResponse:
        if not isinstance(found, ImageTags):
            raise found
        if request.store:
            return self._keep(request, said, lambda: found)
        return self._tell(said, found, convert.options(request.options))

    def _tell(self, said: Submission, looked: ImageTags, options: TaggingOptions) -> pb.TagImageResponse:
        now = call.current()
        with _refining(now, self._parts.clock):
            found = self._parts.refining.kept(
                looked.look, (), said.user_tags, owner_id=now.caller.account.id, options=options
            )
        refined = found.refined(looked, options) if found is not None else None
        tags = convert.image_tags(looked, said.user_tags, refined)
        tags.decisions.extend(decisions(found))
        return pb.TagImageResponse(tags=tags)

    def _keep(
        self, request: pb.TagImageRequest, said: Submission, look: Callable[[], ImageTags]
    ) -> pb.TagImageResponse:
        now, clock = call.current(), self._parts.clock
        looked_s = clock.monotonic_s()

        def prepare() -> tuple[Candidate, Refinement | None, tuple[str, ...]]:
            nonlocal looked_s
            looked = candidate(said, look())
            with _refining(now, clock):
                photo, found = self._parts.refining.candidate(looked, convert.options(request.options), by=now.caller)
            looked_s = clock.monotonic_s()
            keeping.put([photo], now.caller)
            return photo, found, self._parts.keeper.near(photo.content, now.caller)

        def work(prepared: tuple[Candidate, Refinement | None, tuple[str, ...]], caller: Caller) -> pb.TagImageResponse:
            access.check(TO_KEEP, caller)
            photo, found, near_ids = prepared
            [kept] = keeping.commit([photo], caller)
            if not isinstance(kept, KeptPhoto):
                raise kept
            kept = kept if kept.existing else replace(kept, near_ids=near_ids)
            embedding = request.options.include_embedding
            tags = convert.kept_tags(kept, photo.looked, include_embedding=embedding)
            tags.decisions.extend(decisions(found))
            return pb.TagImageResponse(tags=tags)

        with self._parts.keeper.keeping() as keeping:
            response = answer_once(self._parts.replies, request, pb.TagImageResponse, prepare=prepare, work=work)
        spent = now.timings or Timings()
        now.timings = replace(spent, store_s=spent.store_s + clock.monotonic_s() - looked_s)
        return response


@contextmanager
def _refining(now: call.Call, clock: Clock) -> Iterator[None]:
    begun_s = clock.monotonic_s()
    yield
    spent = now.timings or Timings()
    now.timings = replace(spent, refinement_s=spent.refinement_s + clock.monotonic_s() - begun_s)


def _submission(request: pb.TagImageRequest) -> Submission:
    check_said(author=request.author, file_name=request.file_name)
    return Submission(
        hashlib.sha256(request.image).digest(),
        user_tags=tag_names(request.user_tags, field="user_tags"),
        author=request.author,
        file_name=request.file_name,
        visibility=convert_image.to_visibility(request.visibility) or Visibility.PRIVATE,
        use_embedded_tags=request.use_embedded_tags,
    )

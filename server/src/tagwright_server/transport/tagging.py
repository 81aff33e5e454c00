"""TaggingService: each method converts in, calls one function of the domain, converts out."""

from __future__ import annotations

import grpc

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceServicer
from tagwright_server.clock import Clock
from tagwright_server.domain.models import Models, full_name
from tagwright_server.domain.tagging import Tagger
from tagwright_server.inference.backend import Backend
from tagwright_server.transport import call, convert
from tagwright_server.transport.paging import page


class TaggingService(TaggingServiceServicer):
    """Photos to tags, over gRPC. Errors are raised as domain errors; the guard makes statuses of them."""

    def __init__(self, *, tagger: Tagger, models: Models, backend: Backend, clock: Clock) -> None:
        self._tagger = tagger
        self._models = models
        self._backend = backend
        self._clock = clock
        self._started_s = clock.monotonic_s()

    def TagImage(self, request: pb.TagImageRequest, context: grpc.ServicerContext) -> pb.TagImageResponse:
        """Tag one photo."""
        now = call.current()
        found, now.timings = self._tagger.tag(convert.photo_request(request), now.deadline)
        return pb.TagImageResponse(tags=convert.image_tags(found))

    def TagImages(self, request: pb.TagImagesRequest, context: grpc.ServicerContext) -> pb.TagImagesResponse:
        """Tag several photos; a bad one fails alone."""
        now = call.current()
        tagged = self._tagger.tag_many([convert.photo_request(one) for one in request.requests], now.deadline)
        now.timings = tagged.timings
        return pb.TagImagesResponse(results=convert.results(tagged.results))

    def ListModels(self, request: pb.ListModelsRequest, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        """List the served models, the default one first."""
        models = self._models.ordered
        shown, next_page_token = page(
            models,
            page_size=request.page_size,
            page_token=request.page_token,
            bound_to="ListModels " + " ".join(map(full_name, models)),
        )
        response = pb.ListModelsResponse(
            models=[convert.model(model, is_default=model is self._models.default) for model in shown],
            next_page_token=next_page_token,
            engine=self._backend.engine,
        )
        response.uptime.FromNanoseconds(int((self._clock.monotonic_s() - self._started_s) * 1e9))
        return response

"""The calls of TaggingService about work in the background."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_server.domain.access import Caller
from tagwright_server.domain.library import check_filter
from tagwright_server.errors import NotFound
from tagwright_server.store.image_records import Operation
from tagwright_server.transport import convert_images as convert
from tagwright_server.transport.once import answer_once, nothing
from tagwright_server.transport.paging import page_after, to_moment_and_id
from tagwright_server.transport.parts import TaggingParts


class OperationCalls:
    """Tagging stored photos anew."""

    _parts: TaggingParts

    def RetagImages(self, request: pb.RetagImagesRequest, context: grpc.ServicerContext) -> pb.RetagImagesResponse:
        """Have a model look at stored photos again."""
        wanted = check_filter(convert.to_filter(request.filter, self._parts.accounts.id_of))
        if wanted.owner_id == "":
            raise NotFound("there is no such owner")

        def work(_: None, caller: Caller) -> pb.RetagImagesResponse:
            begun = self._parts.retagging.start(
                wanted,
                request.filter.SerializeToString(),
                model=request.model,
                validate_only=request.validate_only,
                by=caller,
            )
            return pb.RetagImagesResponse(operation=convert.operation(begun))

        response = answer_once(self._parts.replies, request, pb.RetagImagesResponse, prepare=nothing, work=work)
        self._parts.retagging.wake()
        return response

    def GetOperation(self, request: pb.GetOperationRequest, context: grpc.ServicerContext) -> pb.GetOperationResponse:
        """Tell how far an operation is."""
        return pb.GetOperationResponse(operation=convert.operation(self._parts.retagging.get(request.id)))

    def ListOperations(
        self, request: pb.ListOperationsRequest, context: grpc.ServicerContext
    ) -> pb.ListOperationsResponse:
        """List operations, the latest first."""

        def following(after: str | None, limit: int) -> Sequence[Operation]:
            before = to_moment_and_id(after) if after is not None else None
            return self._parts.retagging.page(before=before, limit=limit)

        operations, token = page_after(
            following,
            place=lambda operation: f"{operation.created.isoformat()} {operation.id}",
            page_size=request.page_size,
            page_token=request.page_token,
            bound_to="ListOperations",
        )
        shown = [convert.operation(operation, failures=False) for operation in operations]
        return pb.ListOperationsResponse(operations=shown, next_page_token=token)

    def CancelOperation(
        self, request: pb.CancelOperationRequest, context: grpc.ServicerContext
    ) -> pb.CancelOperationResponse:
        """End an operation."""

        def work(_: None, caller: Caller) -> pb.CancelOperationResponse:
            return pb.CancelOperationResponse(
                operation=convert.operation(self._parts.retagging.cancel(request.id, by=caller))
            )

        response = answer_once(self._parts.replies, request, pb.CancelOperationResponse, prepare=nothing, work=work)
        self._parts.retagging.wake()
        return response

"""The calls about work in the background: having a model look at kept photos again. Administrators only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from tagwright.v1 import tagging_service_pb2 as pb

from . import _account_convert as arguments
from . import _image_convert as convert
from ._errors import Busy, DeadlineExceeded, Overloaded, ServerUnreachable
from ._image_values import Operation
from ._part import CALL_TIMEOUT_S, Part
from ._results import Results

RETAG_TIMEOUT_S = 60.0  # the server writes down which photos are meant
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0  # a short one is told soon, a long one hardly asked for
_SILENCE_S = 60.0  # an operation survives a restart of the server, so whoever waits for it does too


class Operations(Part):
    """What administrators can do about work in the background."""

    def retag(
        self,
        *,
        ids: Iterable[str] | None = None,
        source_sha256s: Iterable[str] | None = None,
        owner: str | None = None,
        create_time_from: datetime | None = None,
        create_time_before: datetime | None = None,
        model_version: str | None = None,
        except_model_version: str | None = None,
        untagged: bool = False,
        tag: str | None = None,
        model: str | None = None,
        dry_run: bool = False,
        request_id: str | None = None,
        timeout_s: float = RETAG_TIMEOUT_S,
    ) -> Operation:
        """Have a model look at photos again, in the background, and return the operation that does it.

        The photos are those that `images` would list with the same arguments; with none of them, all. `model` is
        `name` or `name@version`, the server's default without. What people decided stays. With `dry_run` nothing
        changes, and the operation counts what would.
        """
        request = pb.RetagImagesRequest(
            filter=convert.image_filter(
                ids=ids,
                source_sha256s=source_sha256s,
                owner=owner,
                create_time_from=create_time_from,
                create_time_before=create_time_before,
                model_version=model_version,
                except_model_version=except_model_version,
                untagged=untagged,
                tag=tag,
            ),
            model=arguments.text("model", model),
            validate_only=dry_run,
            request_id=arguments.request_id(request_id),
        )
        response = self._connection.call(
            self._stub.RetagImages, request, timeout_s=timeout_s, request_id=request.request_id
        )
        return convert.operation(response.operation)

    def operation(self, id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> Operation:
        """Return how far an operation is."""
        request = pb.GetOperationRequest(id=arguments.text("id", id))
        return convert.operation(self._connection.call(self._stub.GetOperation, request, timeout_s=timeout_s).operation)

    def operations(
        self, *, page_size: int | None = None, page_token: str = "", timeout_s: float = CALL_TIMEOUT_S
    ) -> Results[Operation]:
        """Go through the operations, the latest first, without their `failures`; `timeout_s` for each page.

        `page_token`: where to go on, from `next_page_token` of earlier results.
        """

        def page(page_token: str) -> pb.ListOperationsResponse:
            request = pb.ListOperationsRequest(page_size=page_size or 0, page_token=page_token)
            return self._connection.call(self._stub.ListOperations, request, timeout_s=timeout_s)

        return Results(page, lambda response: map(convert.operation, response.operations), page_token=page_token)

    def cancel_operation(self, id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> Operation:
        """End an operation at the next photo, and return it as it is now; what it has done stays done."""
        request = pb.CancelOperationRequest(id=arguments.text("id", id))
        return convert.operation(
            self._connection.call(self._stub.CancelOperation, request, timeout_s=timeout_s).operation
        )

    def wait_for_operation(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[Operation], object] | None = None,
    ) -> Operation:
        """Ask for an operation until it has ended, and return it; `on_progress` is given every answer.

        A server that restarts meanwhile is waited for, up to a minute. DeadlineExceeded when it all takes longer than
        `timeout_s`; the operation goes on then.
        """
        give_up_at = time.monotonic() + timeout_s if timeout_s is not None else math.inf
        pause_s = _FIRST_PAUSE_S
        answer_time = time.monotonic()
        while True:
            try:
                operation = self.operation(id)
            except (ServerUnreachable, Busy, Overloaded):
                if time.monotonic() - answer_time > _SILENCE_S:
                    raise
            else:
                answer_time = time.monotonic()
                if on_progress is not None:
                    on_progress(operation)
                if operation.finished:
                    return operation
            if time.monotonic() + pause_s > give_up_at:
                raise DeadlineExceeded(f"the operation has not ended within {timeout_s} s; it goes on")
            self._connection.pause(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

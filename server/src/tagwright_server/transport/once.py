"""What a call that changes something answers: its own answer, or the first answer to the same `request_id`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from tagwright_server.domain.access import Caller
from tagwright_server.domain.replies import Replies
from tagwright_server.transport import call

R = TypeVar("R", bound=Message)
P = TypeVar("P")


def nothing() -> None:
    """Prepare nothing."""


def answer_once(
    replies: Replies,
    request: Any,  # a message that has a request_id, which no type says
    answer: type[R],
    *,
    prepare: Callable[[], P],
    work: Callable[[P, Caller], R],
) -> R:
    """Return what `work` makes of what `prepare` made, or the answer that it gave before; see `Replies.once`.

    `work` gets the caller as they are by then: whoever lost the right while the message came changes nothing any more.
    """
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    said = f"{request.DESCRIPTOR.full_name}\0".encode() + content.SerializeToString(deterministic=True)
    now = call.current()

    def change(prepared: P) -> bytes:
        now.deadline.check("the change was made")
        return work(prepared, now.caller_now()).SerializeToString()

    stored = replies.once(
        request.request_id, account_id=now.caller.account.id, content=said, prepare=prepare, work=change
    )
    return answer.FromString(stored)

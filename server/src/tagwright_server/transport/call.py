"""What belongs to the call in progress: its deadline, who makes it from where, and where its time went."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from tagwright_server.domain.access import Caller
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.tagging import Timings


@dataclass(slots=True)
class Call:
    """One call of ours; `timings` is filled in by the servicer and goes into the trailing metadata."""

    deadline: Deadline
    peer: str
    admitted: Caller | None
    readmit: Callable[[Caller], Caller]
    timings: Timings | None = None

    @property
    def caller(self) -> Caller:
        """Who makes the call; every call but Login has one."""
        assert self.admitted is not None  # noqa: S101  (the gate lets nobody else through)
        return self.admitted

    def caller_now(self) -> Caller:
        """Who makes the call, looked up anew: before a change, since the message may have been long in coming.

        Raises TokenInvalid and ScopeMissing.
        """
        return self.readmit(self.caller)


_current: ContextVar[Call] = ContextVar("call")  # grpc runs each call in a context of its own


def begin(call: Call) -> None:
    """Make `call` the current one."""
    _current.set(call)


def current() -> Call:
    """Return the call in progress."""
    return _current.get()


def trailing_metadata(call: Call) -> tuple[tuple[str, str], ...]:
    """Return where the time went, as decimal milliseconds."""
    if call.timings is None:
        return ()
    spent = call.timings
    return (
        ("tagwright-decode-ms", f"{spent.decode_s * 1e3:.3f}"),
        ("tagwright-queue-ms", f"{spent.queue_s * 1e3:.3f}"),
        ("tagwright-inference-ms", f"{spent.inference_s * 1e3:.3f}"),
        ("tagwright-refinement-ms", f"{spent.refinement_s * 1e3:.3f}"),
        ("tagwright-search-ms", f"{spent.search_s * 1e3:.3f}"),
        ("tagwright-store-ms", f"{spent.store_s * 1e3:.3f}"),
    )

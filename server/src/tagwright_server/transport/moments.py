"""Moments between the contract and ours, both ways."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tagwright_server.errors import ArgumentInvalid


def to_time(said: Timestamp, *, field: str) -> datetime:
    """Read a moment, in UTC. Raises ArgumentInvalid."""
    try:
        return said.ToDatetime(tzinfo=timezone.utc)
    except (ValueError, OverflowError) as err:
        raise ArgumentInvalid("is no moment between the years 1 and 9999", field=field) from err


def from_time(moment: datetime | None) -> Timestamp | None:
    """Write a moment; None where there is none."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def moment(message: Any, field: str, *, within: str = "") -> datetime | None:
    """Read a message's field that may be absent; `within` is the path of the message. Raises ArgumentInvalid."""
    return to_time(getattr(message, field), field=within + field) if message.HasField(field) else None

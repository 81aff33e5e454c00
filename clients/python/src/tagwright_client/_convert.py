"""Between protobuf messages and this client's values: photos, tags and models; `_image_convert.py` has what is kept."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import TypeVar

from tagwright.v1 import model_pb2, tag_pb2, tagging_options_pb2, tagging_service_pb2

from . import _values as values

_Number = TypeVar("_Number", bound=int)
_STAGE = re.compile(r"tagwright-([a-z0-9-]+)-ms")
_NO_TIMINGS = values.Timings(decode_ms=None, queue_ms=None, inference_ms=None, total_ms=0.0)


def options(
    *,
    min_score: float | None,
    max_tags: int | None,
    target_precision: float | None,
    include_tags: Iterable[str],
    exclude_tags: Iterable[str],
    model: str | None,
    include_embedding: bool,
    include_evidence: bool,
) -> tagging_options_pb2.TaggingOptions:
    """Build the options of a request. Whether their values make sense, the server says."""
    for name, tags in (("include_tags", include_tags), ("exclude_tags", exclude_tags)):
        if isinstance(tags, str):  # a string is an iterable of strings too: "dog" would become d, o and g
            raise TypeError(f"{name} takes several tags, such as [{tags!r}], not a string")
    return tagging_options_pb2.TaggingOptions(
        min_score=min_score,
        max_tags=max_tags or 0,
        target_precision=target_precision,
        include_tags=include_tags,
        exclude_tags=exclude_tags,
        model=model or "",
        include_embedding=include_embedding,
        include_evidence=include_evidence,
    )


def photo_tags(message: tag_pb2.ImageTags, *, timings: values.Timings = _NO_TIMINGS) -> values.PhotoTags:
    """Return the tags of one photo."""
    return values.PhotoTags(
        tags=tuple(tag(each) for each in message.tags),
        model_version=message.model_version,
        width=message.image.width,
        height=message.image.height,
        format=message.image.format,
        embedding=tuple(message.embedding),
        timings=timings,
        image_id=message.image_id or None,
        existing=message.existing,
        near_duplicate_ids=tuple(message.near_duplicate_ids),
        decisions=tuple(_decision(each) for each in message.decisions),
    )


def refinement(message: tagging_service_pb2.RefineTagsResponse, *, timings: values.Timings) -> values.Refinement:
    """Return what refinement says of one photo."""
    return values.Refinement(
        decisions=tuple(_decision(each) for each in message.decisions),
        model_version=message.model_version,
        library_size=message.library_size,
        embedding=tuple(message.embedding),
        timings=timings,
    )


def tag(message: tag_pb2.Tag) -> values.Tag:
    """Return one tag of one photo."""
    return values.Tag(
        name=message.name,
        score=message.score if message.HasField("score") else None,
        state=enum_name(tag_pb2.TagState.Name, message.state, "TAG_STATE_"),
        source=enum_name(tag_pb2.TagSource.Name, message.source, "TAG_SOURCE_"),
        model_version=message.model_version,
        evidence=tuple(_evidence(evidence) for evidence in message.evidence),
    )


def timings(trailing: Iterable[tuple[str, str | bytes]], *, total_ms: float) -> values.Timings:
    """Read where the time went from the trailing metadata; what is missing or no number is None."""
    told = stages(trailing)
    return values.Timings(
        decode_ms=told.get("decode"),
        queue_ms=told.get("queue"),
        inference_ms=told.get("inference"),
        total_ms=total_ms,
        store_ms=told.get("store"),
        refinement_ms=told.get("refinement"),
        search_ms=told.get("search", 0.0),
    )


def stages(trailing: Iterable[tuple[str, str | bytes]]) -> dict[str, float]:
    """Return the milliseconds of each stage that the trailing metadata tells, this client knowing it or not."""
    told: dict[str, float] = {}
    for key, value in trailing:
        stage = _STAGE.fullmatch(key)
        if stage:
            with contextlib.suppress(ValueError):
                told[stage[1]] = float(value)
    return told


def model(message: model_pb2.Model) -> values.Model:
    """Return one model with its labels."""
    created: datetime | None = None
    if message.HasField("create_time"):
        created = message.create_time.ToDatetime(tzinfo=timezone.utc)
    return values.Model(
        name=message.name,
        version=message.version,
        is_default=message.is_default,
        labels=tuple(_label(label) for label in message.labels),
        metrics=dict(message.metrics),
        digest=message.digest,
        architecture=message.architecture,
        embedding_size=message.embedding_size,
        create_time=created,
        refines=message.refines,
        batch_refiners=tuple(message.batch_refiners),
    )


def enum_name(name_of: Callable[[_Number], str], number: _Number, prefix: str) -> str:
    """Return an enum's word without its prefix, or its number where this client does not know it."""
    try:
        return name_of(number).removeprefix(prefix)
    except ValueError:  # a newer server's word
        return str(number)


def _decision(message: tag_pb2.TagDecision) -> values.TagDecision:
    return values.TagDecision(
        name=message.name,
        score=message.score if message.HasField("score") else None,
        decision=enum_name(tag_pb2.Decision.Name, message.decision, "DECISION_"),
        evidence=tuple(_evidence(evidence) for evidence in message.evidence),
    )


def _evidence(message: tag_pb2.Evidence) -> values.Evidence:
    return values.Evidence(
        kind=enum_name(tag_pb2.EvidenceKind.Name, message.kind, "EVIDENCE_KIND_"),
        text=message.text,
        value=message.value,
        threshold=message.threshold if message.HasField("threshold") else None,
        image_ids=tuple(message.image_ids),
        tags=tuple(message.tags),
    )


def _label(message: model_pb2.ModelLabel) -> values.ModelLabel:
    return values.ModelLabel(
        name=message.name,
        default_threshold=message.default_threshold,
        thresholds={
            # The proto's floats are 32 bit wide: without rounding, 0.9 would come out as 0.8999999761581421.
            round(at.precision, 6): at.threshold if at.HasField("threshold") else None
            for at in message.thresholds
        },
        average_precision=message.average_precision,
    )

"""Between the contract's messages and the domain's values, both ways; nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence

from tagwright.v1 import model_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_server.domain.tagging import ImageTags, PhotoError, PhotoRequest
from tagwright_server.domain.tags import Tag, TaggingOptions, precisions
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.inference.bundle import Bundle, Label
from tagwright_server.transport.status import to_status


def photo_request(request: pb.TagImageRequest) -> PhotoRequest:
    """Read one photo with its options."""
    said = request.options
    return PhotoRequest(
        request.image,
        TaggingOptions(
            min_score=said.min_score if said.HasField("min_score") else None,
            max_tags=said.max_tags,
            target_precision=said.target_precision if said.HasField("target_precision") else None,
            include_tags=tuple(said.include_tags),
            exclude_tags=tuple(said.exclude_tags),
            model=said.model,
            include_embedding=said.include_embedding,
            include_evidence=said.include_evidence,
        ),
    )


def image_tags(found: ImageTags) -> tag_pb2.ImageTags:
    """Write what is known of one photo."""
    return tag_pb2.ImageTags(
        tags=[_tag(tag, found.model_version) for tag in found.tags],
        model_version=found.model_version,
        embedding=None if found.embedding is None else found.embedding.tolist(),
        image=tag_pb2.ImageInfo(width=found.width, height=found.height, format=found.format),
    )


def results(found: Sequence[ImageTags | PhotoError]) -> list[pb.TagImagesResult]:
    """Write one result for each photo of a batch, in order."""
    return [
        pb.TagImagesResult(tags=image_tags(result))
        if isinstance(result, ImageTags)
        else pb.TagImagesResult(
            error=to_status(result, field_prefix=f"requests[{index}]." if isinstance(result, ArgumentInvalid) else "")
        )
        for index, result in enumerate(found)
    ]


def model(bundle: Bundle, *, is_default: bool) -> model_pb2.Model:
    """Write one model with its labels."""
    fitted = precisions(bundle)
    message = model_pb2.Model(
        name=bundle.name,
        version=bundle.version,
        is_default=is_default,
        labels=[_label(label, fitted) for label in bundle.labels],
        metrics=dict(bundle.metrics),
        digest=bundle.digest,
        architecture=bundle.architecture,
        embedding_size=bundle.embedding_size,
    )
    message.create_time.FromDatetime(bundle.created)
    return message


def _tag(tag: Tag, model_version: str) -> tag_pb2.Tag:
    return tag_pb2.Tag(
        name=tag.name,
        score=tag.score,
        state=tag_pb2.TAG_STATE_SUGGESTED,
        source=tag_pb2.TAG_SOURCE_MODEL,
        model_version=model_version,
        evidence=[
            tag_pb2.Evidence(
                kind=tag_pb2.EVIDENCE_KIND_MODEL_SCORE, text=reason.text, value=reason.value, threshold=reason.threshold
            )
            for reason in tag.evidence
        ],
    )


def _label(label: Label, fitted: Sequence[str]) -> model_pb2.ModelLabel:
    return model_pb2.ModelLabel(
        name=label.name,
        default_threshold=label.default_threshold,
        thresholds=[
            model_pb2.PrecisionThreshold(precision=float(precision), threshold=label.thresholds.get(precision))
            for precision in fitted
        ],
        average_precision=label.average_precision,
    )

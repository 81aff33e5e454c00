"""Between the contract's messages and the domain's values, both ways; nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence

from tagwright.v1 import model_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions as TaggingOptionsMessage
from tagwright_server.domain.decisions import Refined
from tagwright_server.domain.keeping import KeptPhoto
from tagwright_server.domain.tagging import ImageTags, PhotoRequest
from tagwright_server.domain.tags import TaggingOptions, precisions
from tagwright_server.errors import ArgumentInvalid, TagwrightError
from tagwright_server.inference.bundle import Bundle, Label
from tagwright_server.transport.convert_images import shown, tag
from tagwright_server.transport.status import to_status


def options(said: TaggingOptionsMessage) -> TaggingOptions:
    """Read what an answer shall hold."""
    return TaggingOptions(
        min_score=said.min_score if said.HasField("min_score") else None,
        max_tags=said.max_tags,
        target_precision=said.target_precision if said.HasField("target_precision") else None,
        include_tags=tuple(said.include_tags),
        exclude_tags=tuple(said.exclude_tags),
        model=said.model,
        include_embedding=said.include_embedding,
        include_evidence=said.include_evidence,
    )


def photo_request(request: pb.TagImageRequest) -> PhotoRequest:
    """Read one photo with its options."""
    return PhotoRequest(request.image, options(request.options), keep=request.store)


def image_tags(found: ImageTags, user_tags: Sequence[str] = (), refined: Refined | None = None) -> tag_pb2.ImageTags:
    """Write what is known of one photo that is not kept."""
    return tag_pb2.ImageTags(
        tags=[tag(each, found.evidence(each.name)) for each in shown(found.with_given(user_tags, refined))],
        model_version=found.model_version,
        embedding=found.look.embedding.tolist() if found.include_embedding else None,
        image=tag_pb2.ImageInfo(width=found.width, height=found.height, format=found.format),
    )


def kept_tags(kept: KeptPhoto, looked: ImageTags | None, *, include_embedding: bool) -> tag_pb2.ImageTags:
    """Write what is known of one photo that is kept, and the labels that were asked for whatever their scores."""
    photo, content = kept.image, kept.image.content
    there = {each.name for each in kept.tags}
    asked = [each for each in (looked.asked_for() if looked is not None else ()) if each.name not in there]
    return tag_pb2.ImageTags(
        tags=[tag(each, looked.evidence(each.name) if looked else ()) for each in shown((*kept.tags, *asked))],
        model_version=photo.model_version,
        embedding=looked.look.embedding.tolist() if looked is not None and include_embedding else None,
        image=tag_pb2.ImageInfo(width=content.width, height=content.height, format=content.format),
        image_id=photo.id,
        existing=kept.existing,
        near_duplicate_ids=kept.near_ids,
    )


def result(index: int, answer: pb.TagImageResponse | TagwrightError) -> pb.TagImagesResult:
    """Write what became of one photo of a batch."""
    if isinstance(answer, TagwrightError):
        prefix = f"requests[{index}]." if isinstance(answer, ArgumentInvalid) else ""
        return pb.TagImagesResult(error=to_status(answer, field_prefix=prefix))
    return pb.TagImagesResult(tags=answer.tags)


def model(
    bundle: Bundle, *, is_default: bool, refines: bool = False, batch_refiners: Sequence[str] = ()
) -> model_pb2.Model:
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
        refines=refines,
        batch_refiners=batch_refiners,
    )
    message.create_time.FromDatetime(bundle.created)
    return message


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

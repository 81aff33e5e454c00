"""The call of TaggingService that judges tags, and what it says, as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc

from tagwright.v1 import tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_server.domain.refining import Refinement
from tagwright_server.domain.tag_names import tag_names
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.refinement.records import Decision, Reason, ReasonKind, TagDecision
from tagwright_server.transport import call, convert
from tagwright_server.transport.parts import TaggingParts

_DECISIONS: Mapping[Decision, tag_pb2.Decision.ValueType] = {
    Decision.KEEP: tag_pb2.DECISION_KEEP,
    Decision.REMOVE: tag_pb2.DECISION_REMOVE,
    Decision.ADD: tag_pb2.DECISION_ADD,
    Decision.UNSURE: tag_pb2.DECISION_UNSURE,
}
_KINDS: Mapping[ReasonKind, tag_pb2.EvidenceKind.ValueType] = {
    ReasonKind.MODEL_SCORE: tag_pb2.EVIDENCE_KIND_MODEL_SCORE,
    ReasonKind.NEIGHBOURS: tag_pb2.EVIDENCE_KIND_NEIGHBOURS,
    ReasonKind.PROBE: tag_pb2.EVIDENCE_KIND_PROBE,
    ReasonKind.COOCCURRENCE: tag_pb2.EVIDENCE_KIND_COOCCURRENCE,
    ReasonKind.USER_TAG: tag_pb2.EVIDENCE_KIND_USER_TAG,
    ReasonKind.RULE: tag_pb2.EVIDENCE_KIND_RULE,
    ReasonKind.NOT_VISIBLE: tag_pb2.EVIDENCE_KIND_NOT_VISIBLE,
    ReasonKind.REVIEW: tag_pb2.EVIDENCE_KIND_REVIEW,
    ReasonKind.BATCH_SCORE: tag_pb2.EVIDENCE_KIND_BATCH_SCORE,
}


class RefinementCalls:
    """Judging tags."""

    _parts: TaggingParts

    def RefineTags(self, request: pb.RefineTagsRequest, context: grpc.ServicerContext) -> pb.RefineTagsResponse:
        """Say which tags of a photo are right, wrong and missing."""
        now, refining = call.current(), self._parts.refining
        user_tags = tag_names(request.user_tags, field="user_tags")
        options = convert.options(request.options)
        which = request.WhichOneof("photo")
        if which == "image":
            found, now.timings = refining.sent(request.image, user_tags, options, now.deadline, by=now.caller)
        elif which == "image_id":
            found, now.timings = refining.stored(request.image_id, user_tags, options, now.deadline, by=now.caller)
        else:
            raise ArgumentInvalid("neither `image` nor `image_id` is set", field="photo")
        return pb.RefineTagsResponse(
            decisions=decisions(found),
            model_version=found.model_version,
            library_size=found.library_size,
            embedding=found.look.embedding.tolist() if options.include_embedding else None,
        )


def decisions(found: Refinement | None) -> Sequence[tag_pb2.TagDecision]:
    """Write what refinement says."""
    return [_decision(each) for each in found.decisions] if found is not None else ()


def _decision(one: TagDecision) -> tag_pb2.TagDecision:
    return tag_pb2.TagDecision(
        name=one.name,
        score=one.score,
        decision=_DECISIONS[one.decision],
        evidence=[evidence(each) for each in one.reasons],
    )


def evidence(reason: Reason) -> tag_pb2.Evidence:
    """Write one reason."""
    return tag_pb2.Evidence(
        kind=_KINDS[reason.kind],
        text=reason.text,
        value=reason.value,
        threshold=reason.threshold,
        image_ids=reason.image_ids,
        tags=reason.tags,
    )

"""Asking a server with a small refiner (`refiners`) about tags, and reading what it says."""

from __future__ import annotations

from typing import Any

from people import Person, administrator
from servers import await_true

from tagwright.v1 import image_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.operation_pb2 import Operation
from tagwright.v1.tagging_options_pb2 import TaggingOptions

KEEP, REMOVE = tag_pb2.DECISION_KEEP, tag_pb2.DECISION_REMOVE
ADD, UNSURE = tag_pb2.DECISION_ADD, tag_pb2.DECISION_UNSURE
REFINED = tag_pb2.TAG_SOURCE_REFINEMENT
LABELS = ("animals", "dog", "flower", "people", "sky")
SHORT = TaggingOptions(exclude_tags=LABELS)  # the small network gives all labels one score


def refine(who: Person, *user_tags: str, **said: Any) -> pb.RefineTagsResponse:
    """Ask about a photo; excluding labels unless said otherwise."""
    request = pb.RefineTagsRequest(**{"user_tags": user_tags, "options": SHORT, **said})
    answer: pb.RefineTagsResponse = who.RefineTags(request)
    return answer


def said(answer: pb.RefineTagsResponse | tag_pb2.ImageTags) -> dict[str, int]:
    return {each.name: each.decision for each in answer.decisions}


def evidence(answer: Any, name: str, kind: int) -> tag_pb2.Evidence:
    [found] = [each for each in answer.decisions if each.name == name]
    [reason] = [each for each in found.evidence if each.kind == kind]
    assert isinstance(reason, tag_pb2.Evidence)
    return reason


def retagged(who: Person, *ids: str, dry: bool = False, model: str = "nightly") -> Operation:
    """Have a model look at photos again, and wait until it has."""
    admin = administrator(who.server)
    wanted = pb.RetagImagesRequest(filter=image_pb2.ImageFilter(ids=ids), model=model, validate_only=dry)
    begun = admin.RetagImages(wanted).operation

    def now() -> Operation:
        operation: Operation = admin.GetOperation(pb.GetOperationRequest(id=begun.id)).operation
        return operation

    await_true(lambda: now().HasField("end_time"))
    return now()

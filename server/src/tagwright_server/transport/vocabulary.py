"""The calls of TaggingService about tags by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_server.domain.access import Caller
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.store.image_records import TagEntry
from tagwright_server.transport import call
from tagwright_server.transport import convert_images as convert
from tagwright_server.transport.once import answer_once, nothing
from tagwright_server.transport.paging import page_after, to_number
from tagwright_server.transport.parts import TaggingParts


class VocabularyCalls:
    """The tags there are, and their rules."""

    _parts: TaggingParts

    def ListTags(self, request: pb.ListTagsRequest, context: grpc.ServicerContext) -> pb.ListTagsResponse:
        """List tags, by name or by how many photos have them."""
        if request.order not in pb.TagOrder.values():
            raise ArgumentInvalid("must be TAG_ORDER_NAME or TAG_ORDER_COUNT", field="order")
        caller, vocabulary = call.current().caller, self._parts.vocabulary

        def by_name(after: str | None, limit: int) -> Sequence[tuple[str, TagEntry]]:
            entries = vocabulary.page(prefix=request.prefix, after=after, limit=limit, by=caller)
            return [(entry.name, entry) for entry in entries]

        def by_count(after: str | None, limit: int) -> Sequence[tuple[str, TagEntry]]:
            offset = 0 if after is None else to_number(after) + 1
            entries = vocabulary.by_count(prefix=request.prefix, offset=offset, limit=limit, by=caller)
            return [(str(offset + at), entry) for at, entry in enumerate(entries)]

        entries, token = page_after(
            by_count if request.order == pb.TAG_ORDER_COUNT else by_name,
            place=lambda placed: placed[0],
            page_size=request.page_size,
            page_token=request.page_token,
            bound_to=f"ListTags {caller.account.id} {request.order} {request.prefix}",
        )
        return pb.ListTagsResponse(tags=[convert.tag_entry(entry) for _, entry in entries], next_page_token=token)

    def RenameTag(self, request: pb.RenameTagRequest, context: grpc.ServicerContext) -> pb.RenameTagResponse:
        """Give a tag another name."""

        def work(_: None, caller: Caller) -> pb.RenameTagResponse:
            entry = self._parts.vocabulary.rename(request.name, request.new_name, by=caller)
            return pb.RenameTagResponse(tag=convert.tag_entry(entry))

        return answer_once(self._parts.replies, request, pb.RenameTagResponse, prepare=nothing, work=work)

    def MergeTags(self, request: pb.MergeTagsRequest, context: grpc.ServicerContext) -> pb.MergeTagsResponse:
        """Make several tags one."""

        def work(_: None, caller: Caller) -> pb.MergeTagsResponse:
            entry = self._parts.vocabulary.merge(request.sources, request.target, by=caller)
            return pb.MergeTagsResponse(tag=convert.tag_entry(entry))

        return answer_once(self._parts.replies, request, pb.MergeTagsResponse, prepare=nothing, work=work)

    def SetTagRules(self, request: pb.SetTagRulesRequest, context: grpc.ServicerContext) -> pb.SetTagRulesResponse:
        """Replace a tag's aliases and parents."""

        def work(_: None, caller: Caller) -> pb.SetTagRulesResponse:
            entry = self._parts.vocabulary.set_rules(
                request.name, aliases=request.aliases, parents=request.parents, by=caller
            )
            return pb.SetTagRulesResponse(tag=convert.tag_entry(entry))

        return answer_once(self._parts.replies, request, pb.SetTagRulesResponse, prepare=nothing, work=work)

"""The calls about tags by themselves: which there are, and how administrators rename, merge and relate them."""

from __future__ import annotations

from collections.abc import Iterable

from tagwright.v1 import tagging_service_pb2 as pb

from . import _account_convert as arguments
from . import _image_convert as convert
from ._image_values import TagEntry
from ._part import CALL_TIMEOUT_S, Part
from ._results import Results

VOCABULARY_TIMEOUT_S = 60.0  # a tag's new name is written on each of its photos


class Vocabulary(Part):
    """What every client can do about tags by themselves; what changes them is for administrators only."""

    def tags(
        self,
        *,
        prefix: str = "",
        order: str = "NAME",
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Results[TagEntry]:
        """Go through the tags of the photos that one may see, and those with rules, `timeout_s` for each page.

        `prefix`: how their names begin. `order`: by "NAME", or by "COUNT", those of most photos first. `page_token`:
        where to go on, from `next_page_token` of earlier results of the same arguments.
        """
        asked_prefix, asked_order = arguments.text("prefix", prefix), convert.order(order)

        def page(page_token: str) -> pb.ListTagsResponse:
            request = pb.ListTagsRequest(
                prefix=asked_prefix, order=asked_order, page_size=page_size or 0, page_token=page_token
            )
            return self._connection.call(self._stub.ListTags, request, timeout_s=timeout_s)

        return Results(page, lambda response: map(convert.tag_entry, response.tags), page_token=page_token)

    def rename_tag(
        self, name: str, new_name: str, *, request_id: str | None = None, timeout_s: float = VOCABULARY_TIMEOUT_S
    ) -> TagEntry:
        """Give a tag another name, on all photos; its old name becomes an alias. NameTaken: merge them instead."""
        request = pb.RenameTagRequest(
            name=arguments.text("name", name),
            new_name=arguments.text("new_name", new_name),
            request_id=arguments.request_id(request_id),
        )
        response = self._connection.call(
            self._stub.RenameTag, request, timeout_s=timeout_s, request_id=request.request_id
        )
        return convert.tag_entry(response.tag)

    def merge_tags(
        self,
        sources: Iterable[str],
        target: str,
        *,
        request_id: str | None = None,
        timeout_s: float = VOCABULARY_TIMEOUT_S,
    ) -> TagEntry:
        """Make several tags one, on all photos: `target` stays, the names of the others become aliases of it."""
        request = pb.MergeTagsRequest(
            sources=arguments.texts("sources", sources),
            target=arguments.text("target", target),
            request_id=arguments.request_id(request_id),
        )
        response = self._connection.call(
            self._stub.MergeTags, request, timeout_s=timeout_s, request_id=request.request_id
        )
        return convert.tag_entry(response.tag)

    def set_tag_rules(
        self,
        name: str,
        *,
        aliases: Iterable[str] = (),
        parents: Iterable[str] = (),
        request_id: str | None = None,
        timeout_s: float = VOCABULARY_TIMEOUT_S,
    ) -> TagEntry:
        """Replace both rules of a tag: other names that mean it, and tags that hold wherever it does."""
        request = pb.SetTagRulesRequest(
            name=arguments.text("name", name),
            aliases=arguments.texts("aliases", aliases),
            parents=arguments.texts("parents", parents),
            request_id=arguments.request_id(request_id),
        )
        response = self._connection.call(
            self._stub.SetTagRules, request, timeout_s=timeout_s, request_id=request.request_id
        )
        return convert.tag_entry(response.tag)

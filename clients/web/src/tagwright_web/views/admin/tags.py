"""What a tag means: its name, its other names, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from tagwright_client import NotFound, TagEntry
from tagwright_web.failures import Failure
from tagwright_web.visits import Visit

_A_PAGE = 100


@dataclass(frozen=True, slots=True)
class Filled:
    """Names as a field with commas between can have them, and `apart` those with a comma of their own."""

    listed: tuple[str, ...]
    apart: tuple[str, ...]


def show(visit: Visit) -> Response:
    """Show one tag's rules, or all tags with theirs."""
    name = visit.asked("tag").strip()
    if name:
        found = _entry(visit, name)
        entry = found or TagEntry(name, (), (), 0, 0)
        return visit.show(
            "admin/tag.html",
            entry=entry,
            known=found is not None,
            aliases=_filled(entry.aliases),
            parents=_filled(entry.parents),
        )
    listed = visit.client.tags(order="COUNT", page_size=_A_PAGE, page_token=visit.asked("page"))
    entries = listed.next_page()
    return visit.show("admin/tags.html", entries=entries, following=listed.next_page_token)


def change(visit: Visit) -> Response:
    """Rename a tag, make others one with it, or say its rules."""
    name = visit.given("tag")
    if not name:
        raise Failure(400, "No tag", "Choose a tag first.")
    match visit.given("action"):
        case "rename":
            entry = visit.client.rename_tag(name, visit.given("new_name"))
            done = "renamed"
        case "merge":
            sources = names(visit.given("sources"))
            if not sources:
                raise Failure(400, "No tag", "Name one tag at least that is to become one with it.")
            entry = visit.client.merge_tags(sources, name)
            done = "merged"
        case "rules":
            entry = visit.client.set_tag_rules(
                name,
                aliases=[*visit.all_given("kept_alias"), *names(visit.given("aliases"))],
                parents=[*visit.all_given("kept_parent"), *names(visit.given("parents"))],
            )
            done = "ruled"
        case other:
            raise Failure(400, "That cannot be done", f"A tag cannot be {other!r}.")
    return visit.go("/admin/tags", tag=entry.name, done=done)


def names(text: str) -> list[str]:
    """Return the names of a list with commas between, each once, in their order."""
    return list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))


def _entry(visit: Visit, name: str) -> TagEntry | None:
    """Return the tag that a name means, also if it is an alias."""
    try:
        return visit.client.related_tags(name, max_tags=1).tag
    except NotFound:  # no photo has it; it may have rules
        first = visit.client.tags(prefix=name, page_size=1).next_page()
        return next((entry for entry in first if _folded(entry.name) == _folded(name)), None)


def _filled(given: Sequence[str]) -> Filled:
    return Filled(tuple(name for name in given if "," not in name), tuple(name for name in given if "," in name))


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())

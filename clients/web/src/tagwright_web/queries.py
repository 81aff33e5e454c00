"""Queries that pages build: a tag as a query names it, and a query that one more tag narrows down."""

from __future__ import annotations

_SPECIAL = frozenset('&|!()":')
_WORDS = frozenset({"and", "or", "not", "untagged"})  # docs/search.md: in quotes they are tags


def word(tag: str) -> str:
    """Return a tag as a query names it, in quotes where it would read as something else."""
    if tag and tag.casefold() not in _WORDS and not any(each in _SPECIAL or each.isspace() for each in tag):
        return tag
    escaped = tag.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def narrowed(query: str, tag: str, *, without: bool = False) -> str:
    """Return a query for what `query` finds and has the tag, or has not."""
    more = f"{'!' if without else ''}{word(tag)}"
    return f"{_grouped(query)} & {more}" if query.strip() else more


def _grouped(query: str) -> str:
    """Return the query as one operand of an AND: only an OR at its top needs parentheses for that."""
    depth, quoted, escaped = 0, False, False
    top = []
    for char in query.strip():
        if quoted:
            quoted, escaped = (char != '"' or escaped), char == "\\" and not escaped
            continue
        quoted = char == '"'
        depth += (char == "(") - (char == ")")
        top.append(char if not depth and char not in '()"!&' else " ")
    outer = "".join(top)
    has_or = "|" in outer or any(part.casefold() == "or" for part in outer.split())
    return f"({query.strip()})" if has_or else query.strip()

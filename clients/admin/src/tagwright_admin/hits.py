"""Photos that were found, by a search or for their look, as people are shown them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tagwright_client import Image, SearchResult, SimilarImage, TagMatch


@dataclass(frozen=True, slots=True)
class Hit:
    """One photo: which place it has, from 1; its score, 0 to 1; the tags that matched; and what else is to be said."""

    rank: int
    image: Image
    score: float
    matches: tuple[TagMatch, ...] = ()
    remark: str = ""


def of_search(results: Iterable[SearchResult]) -> Iterator[Hit]:
    """Go through what a search found."""
    for rank, result in enumerate(results, start=1):
        behind = len(result.collapsed_ids)
        remark = f"{behind} more like it" if behind else ""
        yield Hit(rank, result.image, result.score, result.matches, remark)


def of_look(images: Iterable[SimilarImage]) -> Iterator[Hit]:
    """Go through photos that look like another one."""
    for rank, each in enumerate(images, start=1):
        yield Hit(rank, each.image, each.similarity, remark="looks the same" if each.near_duplicate else "")

"""Photos in a grid that goes on as one scrolls: a page of a search, and where the next one is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tagwright_client import Image, SearchResult, SearchResults

_TAGS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """One photo: what is said below it in place of its tags, why it was found, and how many others look the same."""

    image: Image
    tags: tuple[str, ...]
    note: str = ""
    why: str = ""
    more_like_it: int = 0

    @property
    def described(self) -> str:
        """The photo in words."""
        return f"Photo: {', '.join(self.tags)}" if self.tags else f"Photo {self.image.file_name}".strip()


@dataclass(frozen=True, slots=True)
class Grid:
    """A page of photos of `total` in all; `following` is where the next page is, "" behind the last."""

    cells: tuple[Cell, ...]
    total: int
    following: str


def grid_of(results: SearchResults, address: Callable[[str], str]) -> Grid:
    """Ask for a page of a search; `address` makes the address of the page with a token."""
    found = results.next_page()
    token = results.next_page_token
    return Grid(tuple(map(_cell, found)), results.total_count, address(token) if token else "")


def cell_of(image: Image, *, note: str = "", why: str = "", more_like_it: int = 0) -> Cell:
    """Return how a photo is shown in a grid."""
    names = [tag.name for tag in image.tags if tag.state != "REJECTED"][:_TAGS_SHOWN]
    return Cell(image, tuple(names), note, why, more_like_it)


def _cell(result: SearchResult) -> Cell:
    why = "; ".join(match.why for match in result.matches)
    return cell_of(result.image, why=why, more_like_it=len(result.collapsed_ids))

"""What the searching calls return: frozen values in plain Python types."""

from __future__ import annotations

from dataclasses import dataclass

from ._image_values import Image, TagEntry
from ._values import Tag


@dataclass(frozen=True, slots=True)
class TagMatch:
    """One tag of the query that a photo has, and why that is said.

    `query_tag` is the tag as the query names it (of an alias, the tag that it means), `tag` the photo's own that
    matched: the same, or one below it. `score` is what it counts for the result's, 0 to 1; `why` is in words.
    """

    query_tag: str
    tag: Tag
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One photo that was found.

    `score` is 0 to 1: with an example the cosine between the embeddings, else how likely the query holds for the photo.
    `matches` are in the order of the query. `collapsed_ids` are photos that a diverse ranking put together behind this
    one.
    """

    image: Image
    score: float
    matches: tuple[TagMatch, ...] = ()
    collapsed_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facet:
    """A tag of a whole result, and how many of its photos have it."""

    tag: str
    count: int


@dataclass(frozen=True, slots=True)
class TagSuggestion:
    """A tag that completes what somebody typed: `alias` of it, if not empty, and with how many letters wrong.

    `image_count` is how many of the photos that one may see have the tag.
    """

    name: str
    image_count: int
    alias: str = ""
    typing_errors: int = 0


@dataclass(frozen=True, slots=True)
class RelatedTag:
    """A tag that goes with another one.

    `score`, 0 to 1, is the mean of `cooccurrence` (photos with both over the geometric mean of those with either) and
    `look` (how much more often than chance photos have it that look alike). `both_count` photos have both.
    """

    name: str
    score: float
    cooccurrence: float
    look: float
    both_count: int


@dataclass(frozen=True, slots=True)
class RelatedTags:
    """A tag (of an alias, the one that it means), and those that are related to it, the closest first."""

    tag: TagEntry
    related: tuple[RelatedTag, ...]


@dataclass(frozen=True, slots=True)
class SimilarImage:
    """A photo that looks like another one: the cosine between their embeddings, 0 to 1.

    `near_duplicate`: it looks the same to the eye, as one that was only scaled or encoded anew.
    """

    image: Image
    similarity: float
    near_duplicate: bool

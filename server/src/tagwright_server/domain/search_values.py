"""What searches are asked and what they answer, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tagwright_server.domain.library import TaggedImage
from tagwright_server.refinement.records import Reason
from tagwright_server.store.image_records import ImageTag, TagEntry


class Ranking(Enum):
    """An order of results."""

    RELEVANCE = "relevance"
    DIVERSE = "diverse"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What is looked for; an example photo is sent or is one that is kept, `facets` is how many are wanted."""

    query: str = ""
    example_image: bytes | None = None
    example_image_id: str | None = None
    ranking: Ranking = Ranking.RELEVANCE
    facets: int = 0
    include_evidence: bool = False
    include_tags: bool = False

    @property
    def has_example(self) -> bool:
        """Whether photos are to look like one."""
        return self.example_image is not None or self.example_image_id is not None


@dataclass(frozen=True, slots=True)
class TagMatch:
    """A tag of the query that a photo has, as which of its tags, and what that counts."""

    query_tag: str
    tag: ImageTag
    score: float
    why: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One photo that was found."""

    image: TaggedImage
    score: float
    matches: tuple[TagMatch, ...] = ()
    collapsed_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Some results, and the place that others are behind, if any; all else is about the whole of them.

    Facets are names of tags with how many photos have each.
    """

    results: tuple[SearchResult, ...]
    next_place: str
    total: int
    facets: tuple[tuple[str, int], ...]
    understood: str
    model_version: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A tag that completes what was typed; `alias` is the other name of it that was being typed."""

    name: str
    images: int
    alias: str
    errors: int


@dataclass(frozen=True, slots=True)
class RelatedTag:
    """A tag that goes with another one; each number is 0 to 1, but for how many photos have both."""

    name: str
    score: float
    cooccurrence: float
    look: float
    both: int


@dataclass(frozen=True, slots=True)
class RelatedTags:
    """A tag and those that go with it."""

    tag: TagEntry
    related: tuple[RelatedTag, ...]


@dataclass(frozen=True, slots=True)
class Similar:
    """A photo that looks like another one."""

    image: TaggedImage
    similarity: float
    near_duplicate: bool


@dataclass(frozen=True, slots=True)
class SimilarPage:
    """Some photos that look like one, and the place that others are behind, if any."""

    images: tuple[Similar, ...]
    next_place: str
    model_version: str

"""The client of `kept_photos` that searches as well, for tests of the command line: by a tag's name, no more.

A query is empty or one tag, under its own name or under "hound" for "dog"; `)` cannot be read. Every photo looks like
every other one, .875 the first that was kept, and less each time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import kept_photos
import pytest
from kept_photos import MODEL, KeptPhotos, tag

from tagwright_admin import connection
from tagwright_client import (
    Content,
    Evidence,
    Facet,
    Image,
    ImageRejected,
    NotFound,
    PhotoUnreadable,
    QueryInvalid,
    RelatedTag,
    RelatedTags,
    SearchResult,
    SimilarImage,
    TagEntry,
    TagMatch,
    TagSuggestion,
    TagwrightError,
    Timings,
)

PICTURE = b"\xff\xd8\xffsmall"
ONE, TWO, THREE, NOBODY = f"{1:032x}", f"{2:032x}", f"{3:032x}", "f" * 32
EVIL = "\x1b]0;owned\x07<script>alert(1)</script>"


@dataclass
class Found:
    """What a search found, as the client's SearchResults."""

    results: Iterator[SearchResult]
    total_count: int
    facets: tuple[Facet, ...]
    understood_query: str
    model_version: str
    timings: Timings

    def __iter__(self) -> Found:
        return self

    def __next__(self) -> SearchResult:
        return next(self.results)


@dataclass
class SearchedPhotos(KeptPhotos):
    """The photos, and what a thumbnail meets instead of being there."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    thumbnail_errors: dict[str, TagwrightError] = field(default_factory=dict)

    def search(self, query: str = "", **options: Any) -> Found:
        example, example_id = options["example"], options["example_image_id"]
        if example is not None:
            options["example"] = _read(example)
        self.asked.append({"query": query, **options})
        if ")" in query:
            where = {"position": str(query.index(")")), "expected": "a tag"}
            error = QueryInvalid("query: a tag was expected", code="INVALID_ARGUMENT", metadata=where)
            error.query = query
            raise error
        if options["example"] is not None and options["example"].startswith(b"!"):
            raise ImageRejected("This is not a photo.", code="INVALID_ARGUMENT")
        if example_id is not None:
            self.image(example_id)
        wanted = "dog" if query == "hound" else query
        images = [each for each in self.kept.values() if not wanted or wanted in {tag.name for tag in each.tags}]
        counts = Counter(tag.name for each in images for tag in each.tags if tag.name != wanted)
        looked = example is not None or example_id is not None
        return Found(
            iter([_result(each, wanted, options) for each in images if each.id != example_id]),
            len(images) - (example_id is not None),
            tuple(Facet(*each) for each in counts.most_common()) if options["include_facets"] else (),
            wanted,
            MODEL if looked else "",
            Timings(None, None, None, 12.4),
        )

    def similar(self, image_id: str, **options: Any) -> Iterator[SimilarImage]:
        self.image(image_id)
        self.asked.append({"image_id": image_id, **options})
        others = [each for each in self.kept.values() if each.id != image_id]
        return iter(SimilarImage(each, 0.875 - number / 100, number == 0) for number, each in enumerate(others))

    def related_tags(self, name: str, *, max_tags: int | None = None) -> RelatedTags:
        if name == "lonely":
            return RelatedTags(TagEntry(name, (), (), 1, 0), ())
        if name != "hound":
            raise NotFound("no photo has it", code="NOT_FOUND")
        related = (RelatedTag(EVIL, 0.5, 0.75, 0.25, 1200), RelatedTag("sea", 0.25, 0.5, 0.0, 2))
        return RelatedTags(TagEntry("dog", ("hound",), (), 3, 0), related[:max_tags])

    def suggest_tags(self, prefix: str = "", *, max_suggestions: int | None = None) -> tuple[TagSuggestion, ...]:
        known = (TagSuggestion("dog", 1200), TagSuggestion(EVIL, 2, "doggy", 0), TagSuggestion("fog", 1, "", 1))
        return known[:max_suggestions] if prefix != "zzz" else ()

    def content(self, id: str, *, variant: str = "KEPT") -> Content:
        if id in self.thumbnail_errors:
            raise self.thumbnail_errors[id]
        self.image(id)
        data = PICTURE if variant == "THUMBNAIL" else self.data[id]
        return Content("image/jpeg", len(data), hashlib.sha256(data).hexdigest(), data)


def searching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchedPhotos:
    """A server in memory with three photos: of a dog, of a dog with names that nobody should have, and of the sea."""
    kept_photos.signed_in(tmp_path, monkeypatch)
    fake = SearchedPhotos()
    fake.keep(b"one", tag("dog", "CONFIRMED"), tag("sea"), tag("cat", "REJECTED"))
    fake.keep(b"two", tag("dog"), tag(EVIL), owner="bob\x1b[31m", file_name="<b>\x1b[2J\u202e.jpg", visibility="SHARED")
    fake.keep(b"three", tag("sea"))
    monkeypatch.setattr(connection, "open_client", lambda *given, **named: fake)
    return fake


def _read(example: Any) -> bytes:
    try:
        return Path(example).read_bytes() if isinstance(example, str) else bytes(example.read())
    except OSError as err:
        raise PhotoUnreadable(f"cannot read the photo: {err.strerror}") from err


def _result(image: Image, wanted: str, options: dict[str, Any]) -> SearchResult:
    behind = (NOBODY,) if options["ranking"] == "diverse" and image.id == ONE else ()
    evidence = (Evidence("USER_TAG", "its owner's first tag", 1.0, None),) if options["include_evidence"] else ()
    matches = tuple(
        TagMatch(wanted, replace(each, evidence=evidence), 0.75, f"{each.name}: \x1b[31mits owner's first tag")
        for each in image.tags
        if each.name == wanted
    )
    return SearchResult(image, 0.75 if matches else 1.0, matches, behind)

"""Photos' rows of several tags become rows of one. What a person decided wins, the tag that stays before the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import peewee

from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database
from tagwright_server.store.models import ImageTagRow
from tagwright_server.store.tag_codes import SUGGESTED

_AT_ONCE = 10_000  # rows a statement changes: PostgreSQL ends those that take longer than the time a caller waits
_COLUMNS = (
    ImageTagRow.image,
    ImageTagRow.tag,
    ImageTagRow.state,
    ImageTagRow.source,
    ImageTagRow.score,
    ImageTagRow.model,
    ImageTagRow.position,
)
_ADD = """
INSERT INTO image_tag (image_id, tag_id, state, source, score, model_id, position) VALUES (?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True)
class _Row:
    image: int
    tag: int
    state: int
    source: int
    score: float | None
    model: int | None
    position: int | None


def merge_rows(database: Database, sources: Sequence[int], target: int) -> None:
    """Make the rows of the sources rows of the target; call inside transaction(), with all of the tags locked.

    State and source are the winner's: a row that a person decided before others, then the target's, then those of the
    sources in their order. The score is the best one, with the model that gave it; the position is the first one.
    """
    rank = {tag: place for place, tag in enumerate((target, *sources))}
    for some in chunks(_with_several(database, list(rank))):
        query = ImageTagRow.select(*_COLUMNS).where(ImageTagRow.image.in_(some), ImageTagRow.tag.in_(list(rank)))
        rows: dict[int, list[_Row]] = {}
        for values in database.rows(query):
            row = _Row(*values)
            rows.setdefault(row.image, []).append(row)
        database.change(ImageTagRow.delete().where(ImageTagRow.image.in_(some), ImageTagRow.tag.in_(list(rank))))
        merged = [_merged(together, rank, target) for together in rows.values()]
        database.change_many(
            _ADD, [(row.image, row.tag, row.state, row.source, row.score, row.model, row.position) for row in merged]
        )
    for source in sources:
        _move(database, source, target)


def _merged(rows: Sequence[_Row], rank: dict[int, int], target: int) -> _Row:
    winner = min(rows, key=lambda row: (row.state == SUGGESTED, rank[row.tag]))
    scored = [row for row in rows if row.score is not None]
    best = max(scored, key=lambda row: (row.score or 0.0, -rank[row.tag]), default=winner)
    position = min((row.position for row in rows if row.position is not None), default=None)
    return _Row(winner.image, target, winner.state, winner.source, best.score, best.model, position)


def _with_several(database: Database, tags: list[int]) -> list[int]:
    query = ImageTagRow.select(ImageTagRow.image).where(ImageTagRow.tag.in_(tags)).group_by(ImageTagRow.image)
    return [row[0] for row in database.rows(query.having(peewee.fn.COUNT(peewee.SQL("*")) > 1))]


def _move(database: Database, source: int, target: int) -> None:
    for state in {row[0] for row in database.rows(_of(source, ImageTagRow.state).distinct())}:
        rest = (ImageTagRow.tag == source) & (ImageTagRow.state == state)
        order = ImageTagRow.select(ImageTagRow.image).where(rest).order_by(ImageTagRow.image)
        while last := database.row(order.offset(_AT_ONCE - 1)):
            database.change(ImageTagRow.update(tag=target).where(rest, ImageTagRow.image <= last[0]))
        database.change(ImageTagRow.update(tag=target).where(rest))


def _of(tag: int, column: peewee.Field[int]) -> peewee.ModelSelect[ImageTagRow]:
    return ImageTagRow.select(column).where(ImageTagRow.tag == tag)

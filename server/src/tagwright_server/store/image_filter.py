"""Filters of photos as queries that an index serves.

A photo is visible by being the asker's or by being shared, and has a tag suggested or confirmed: an OR of either kind
is no order that an index has. So a filter is taken apart into cases that no photo is in twice; a page is the best of
the pages of its cases, a count their sum.
"""

from __future__ import annotations

from typing import Any

import peewee

from tagwright_server.store.image_records import ImageFilter, Visibility
from tagwright_server.store.models import ImageRow, ImageTagRow, ModelRow, TagRow
from tagwright_server.store.tag_codes import CONFIRMED, SUGGESTED, SUITING
from tagwright_server.store.text import storable

Condition = Any  # peewee's expressions have no type that says more


def visible(asker: str | None) -> list[Condition]:
    """Return the cases in which an account, or an administrator (None), sees a photo."""
    if asker is None:
        return []
    return [ImageRow.account == asker, (ImageRow.visibility == Visibility.SHARED.value) & (ImageRow.account != asker)]


def seen_by(asker: str | None) -> Condition:
    """Return the same as one condition; None where there is nothing to ask."""
    if asker is None:
        return None
    return (ImageRow.account == asker) | (ImageRow.visibility == Visibility.SHARED.value)


class Cases:
    """What a filter asks for. `number` is the column to order by: on the left of every case's own index."""

    def __init__(self, filter: ImageFilter, *, tag: int | None) -> None:
        """`tag` is the number of the tag that the filter names, None where it names none or an unknown one."""
        self._filter = filter
        self._tag = tag
        self.number = ImageRow.number if tag is None else ImageTagRow.image

    def queries(self, *columns: Any) -> list[Any]:
        """Return one SELECT of these columns for each case, from the photos, joined to the rows of the tag if any."""
        if self._impossible():
            return []
        conditions = self._conditions()
        if self._tag is not None:
            seen = seen_by(self._filter.visible_to)
            conditions += [] if seen is None else [seen]
            start: Any = ImageTagRow.select(*columns).join(ImageRow, on=(ImageTagRow.image == ImageRow.number))
            cases = [(ImageTagRow.tag == self._tag) & (ImageTagRow.state == state) for state in (CONFIRMED, SUGGESTED)]
        else:
            start = ImageRow.select(*columns)
            cases = self._cases_of_visibility(conditions)
        return [start.where(*case_conditions(case, conditions)) for case in cases]

    def _cases_of_visibility(self, conditions: list[Condition]) -> list[Condition]:
        asker, owner = self._filter.visible_to, self._filter.owner_id
        if asker is None or owner == asker:
            return [None]
        if owner is not None:
            return [ImageRow.visibility == Visibility.SHARED.value]
        if self._filter.ids is not None or self._filter.source_sha256s is not None:
            return [seen_by(asker)]  # these few are found by what names them
        return visible(asker)

    def _impossible(self) -> bool:
        wanted = self._filter
        if wanted.ids == () or wanted.source_sha256s == () or (wanted.tag and (self._tag is None or wanted.untagged)):
            return True
        named = (wanted.owner_id or "", wanted.model_version, wanted.visible_to or "")
        return not all(map(storable, named))

    def _conditions(self) -> list[Condition]:
        wanted = self._filter
        found: list[Condition] = []
        if wanted.ids is not None:
            found.append(ImageRow.id.in_([id for id in wanted.ids if storable(id)]))
        if wanted.source_sha256s is not None:
            found.append(ImageRow.source_sha256.in_(list(wanted.source_sha256s)))
        if wanted.owner_id is not None:
            found.append(ImageRow.account == wanted.owner_id)
        if wanted.created_from is not None:
            found.append(ImageRow.created >= wanted.created_from)
        if wanted.created_before is not None:
            found.append(ImageRow.created < wanted.created_before)
        if wanted.model_version:
            found.append(ImageRow.model == _model(wanted.model_version))
        if wanted.except_model_version and storable(wanted.except_model_version):
            same = peewee.fn.COALESCE(_model(wanted.except_model_version), 0)  # 0: no model has that number
            found.append(ImageRow.model != same)
        if wanted.untagged:
            has = ImageTagRow.select(ImageTagRow.tag).where(ImageTagRow.image == ImageRow.number)
            found.append(~peewee.fn.EXISTS(has.where(ImageTagRow.state.in_(SUITING))))
        return found


def case_conditions(case: Condition, conditions: list[Condition]) -> list[Condition]:
    """Return all conditions of a case; at least one, as a query takes."""
    return [*([] if case is None else [case]), *conditions] or [peewee.SQL("1 = 1")]


def named(tag: str) -> Any:
    """Return a SELECT of the number of the tag that a name, or an alias, means."""
    number = peewee.fn.COALESCE(TagRow.alias_of, TagRow.number)
    return TagRow.select(number).where(TagRow.name == tag)


def _model(name: str) -> Any:
    return ModelRow.select(ModelRow.number).where(ModelRow.name == name)

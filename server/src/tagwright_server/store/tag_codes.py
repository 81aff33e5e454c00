"""The small numbers that stand for states and sources of tags in the rows of photos. They never change."""

from __future__ import annotations

from tagwright_server.store.image_records import TagSource, TagState

CONFIRMED, SUGGESTED, REJECTED = 0, 1, 2
SUITING = (CONFIRMED, SUGGESTED)  # the tag counts as one of the photo's

STATES = {TagState.CONFIRMED: CONFIRMED, TagState.SUGGESTED: SUGGESTED, TagState.REJECTED: REJECTED}
SOURCES = {TagSource.USER: 0, TagSource.MODEL: 1, TagSource.REFINEMENT: 2, TagSource.IMPORT: 3}
STATE_OF = {number: state for state, number in STATES.items()}
SOURCE_OF = {number: source for source, number in SOURCES.items()}

"""The tag index: all stored photos by their tags and by what else searches ask for, in memory.

`TagIndex` follows the database through its feed of changes (changes.py), and never writes to it but for that feed's
first row. Each process has its own, made from the database when it starts. Nothing here decides who may ask.
"""

from tagwright_server.store.tag_index.index import TagIndex
from tagwright_server.store.tag_index.photos import NOBODY, TaggedPhotos, folded
from tagwright_server.store.tag_index.postings import NO_POSITION, NO_SCORE, UNJUDGED, Posting
from tagwright_server.store.tag_index.reading import NOT_KNOWN

__all__ = [
    "NOBODY",
    "NOT_KNOWN",
    "NO_POSITION",
    "NO_SCORE",
    "UNJUDGED",
    "Posting",
    "TagIndex",
    "TaggedPhotos",
    "folded",
]

"""The tag index: all stored photos by their tags and by what else searches ask for, in memory.

`TagIndex` follows the database through its feed of changes (changes.py), and never writes to it. Each process has its
own, made from the database when it starts. Nothing here decides who may ask.
"""

from tagwright_server.store.tag_index.index import TagIndex
from tagwright_server.store.tag_index.photos import TaggedPhotos
from tagwright_server.store.tag_index.postings import NO_POSITION, NO_SCORE, UNJUDGED, Posting

__all__ = ["NO_POSITION", "NO_SCORE", "UNJUDGED", "Posting", "TagIndex", "TaggedPhotos"]

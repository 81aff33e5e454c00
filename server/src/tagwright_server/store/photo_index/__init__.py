"""The photo index: stored photos by what a model makes of them, for finding those that look alike.

`PhotoIndex` follows the database through its feed of changes (changes.py), and never writes to it but for that feed's
first row. Nothing here decides who may ask; what somebody may not see is not found for them.
"""

from tagwright_server.store.photo_index.index import Listener, PhotoIndex
from tagwright_server.store.photo_index.library import Coder
from tagwright_server.store.photo_index.records import Entries, Entry, Found, Wanted
from tagwright_server.store.photo_index.verifying import WrongIndex, rebuild, wrong_indexes

__all__ = [
    "Coder",
    "Entries",
    "Entry",
    "Found",
    "Listener",
    "PhotoIndex",
    "Wanted",
    "WrongIndex",
    "rebuild",
    "wrong_indexes",
]

"""Session tokens and API keys: 32 random bytes each, of which the store keeps no more than the SHA-256.

A plain hash is enough: there is nothing to guess about 256 random bits (ASVS 5.0, 6.5.2). The beginning tells people
and secret scanners what it is.
"""

from __future__ import annotations

import hashlib
import re
import secrets

SESSION, API_KEY = "tws_", "twk_"
SHOWN = 12  # characters of a key that its owner may see again: `twk_` and 48 of its 256 bits
_RANDOM_BYTES = 32
_TOKEN = re.compile(r"tw[sk]_[A-Za-z0-9_-]{43}")  # 43: base64 of 32 bytes


def make(kind: str) -> str:
    """Return a new token."""
    return kind + secrets.token_urlsafe(_RANDOM_BYTES)


def well_formed(token: str) -> bool:
    """Return whether this could be a token of ours."""
    return _TOKEN.fullmatch(token) is not None


def digest(token: str) -> bytes:
    """Return what the store knows of a token."""
    return hashlib.sha256(token.encode("ascii")).digest()

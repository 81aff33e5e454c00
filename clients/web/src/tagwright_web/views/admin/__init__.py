"""Pages for administrators."""

from __future__ import annotations


def routes(get, post):
    return []

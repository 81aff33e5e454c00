"""Web pages of a Tagwright server: sign in, upload, see and correct tags, search, administer.

A client like any other: it talks to the server through `tagwright_client` alone, and keeps nothing itself. A browser's
session is the server's session, its token in a cookie that no script can read, so pages survive a restart of this
program, and signing out ends the session at the server.

app      every address, and what stands around all of them
views/   one file a part of the site: what is asked of the server, and which template shows it
visits   who asks: the cookie, the client with its token, what keeps forms from being forged
pages    templates, static files, and how a page becomes an answer
"""

from __future__ import annotations

__version__ = "0.1.0"

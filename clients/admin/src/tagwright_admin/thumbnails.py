"""Small pictures of kept photos, and how a terminal is told to show one.

The server has them as JPEG, which iTerm2's protocol for inline images takes as it is (iterm2.com/documentation-images;
WezTerm and mintty know it too). Kitty's takes PNG or plain pixels, for which a JPEG would have to be decoded here; it
is left out, as is sixel. Nothing but base64 of what is a JPEG by its first bytes reaches the terminal.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tagwright_admin import screen
from tagwright_client import Client, NotFound, ScopeMissing, ServerUnreachable, TagwrightError, TokenInvalid

COLUMNS, ROWS = 14, 6  # cells are about twice as high as wide: room for upright and for wide photos
_KNOWN = frozenset({"iTerm.app", "WezTerm", "mintty"})
_JPEG = b"\xff\xd8\xff"


@dataclass(slots=True)
class Pictures:
    """The thumbnails of a server. One that cannot be had is told, and the others go on; `failed` says that it was.

    Unless they are `needed`, whoever may not have them does without.
    """

    client: Client
    needed: bool = True
    failed: bool = False
    _denied: bool = False

    def get(self, id: str) -> bytes | None:
        """Return a photo's thumbnail as JPEG; None where there is none, or the photo is gone since it was found."""
        if self._denied:
            return None
        try:
            data = self.client.content(id, variant="THUMBNAIL").data
        except ScopeMissing:  # a key that may search, but not look
            if self.needed:
                raise
            self._denied = True
            return None
        except (ServerUnreachable, TokenInvalid):
            raise  # what would befall every other photo as well
        except NotFound:
            return None
        except TagwrightError as err:
            screen.complain(screen.explained(err), path=id)
            self.failed = True
            return None
        return data if data.startswith(_JPEG) else None


def shown_here() -> bool:
    """Return whether standard output is a terminal that is known to show pictures."""
    return sys.stdout.isatty() and understood(os.environ)


def understood(environment: Mapping[str, str]) -> bool:
    """Return whether the environment names a terminal that takes iTerm2's inline images."""
    term = environment.get("TERM", "")
    if environment.get("TMUX") or term.startswith(("screen", "tmux")) or term == "dumb":
        return False  # what stands between us and the terminal does not hand them on
    # LC_TERMINAL is iTerm2's own, which ssh hands on.
    return environment.get("TERM_PROGRAM") in _KNOWN or environment.get("LC_TERMINAL") == "iTerm2"


def beside(data: bytes | None, lines: Sequence[str], *, margin: int) -> str:
    """Return what makes a terminal show a picture, if there is one, with lines of text on its right."""
    height = max(ROWS, len(lines)) + 1
    # Room first: if the terminal scrolled while it draws, the place it is to come back to would be another one.
    begun = "\n" * height + f"\x1b[{height}A"
    picture = f"\x1b7{_inline(data)}\x1b8" if data is not None else ""
    text = "".join(f"\x1b[{COLUMNS + margin}C{line}\n" for line in lines)
    return begun + picture + text + "\n" * (height - len(lines))


def _inline(data: bytes) -> str:
    size = f"size={len(data)};width={COLUMNS};height={ROWS};preserveAspectRatio=1"
    return f"\x1b]1337;File=inline=1;{size}:{base64.b64encode(data).decode()}\x07"

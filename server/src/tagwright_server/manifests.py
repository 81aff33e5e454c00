"""Reading what lies beside a model: a manifest that fits, and bytes that are the ones it describes.

Whatever does not fit is a StartupError of one line that names the file and what is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tagwright_server.errors import StartupError

Manifest = TypeVar("Manifest", bound=BaseModel)


def read_manifest(file: Path, kind: type[Manifest]) -> Manifest:
    """Return the manifest that a JSON file holds; raises StartupError."""
    try:
        return kind.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except OSError as err:
        raise StartupError(f"{file}: cannot be read: {err.strerror}") from err
    except ValidationError as err:
        wrong = err.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in wrong["loc"])
        raise StartupError(f"{file}: {where + ': ' if where else ''}{wrong['msg']}") from err
    except ValueError as err:  # not JSON, or not UTF-8
        raise StartupError(f"{file}: not JSON: {err}") from err


def read_described(file: Path, digest_sha256: str, *, by: str) -> bytes:
    """Return the bytes of a file whose SHA-256 the manifest called `by` has; raises StartupError."""
    try:
        content = file.read_bytes()
    except OSError as err:
        raise StartupError(f"{file}: cannot be read: {err.strerror}") from err
    found = hashlib.sha256(content).hexdigest()
    if found != digest_sha256:
        raise StartupError(f"{file}: SHA-256 is {found[:12]}…, {by} describes {digest_sha256[:12]}…")
    return content

"""What people see of photos that are kept: a table of many, or all about one with bars for its scores."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagwright_admin.screen import bar, safe
from tagwright_admin.tag_records import CONFIRMED, REJECTED
from tagwright_client import Image, Tag

_WIDTH = 10_000  # as wide as the text is: an id that is cut cannot be copied into the next command
_TAGS_SHOWN = 8
_STYLES = {CONFIRMED: "green", REJECTED: "red strike"}


def show_images(images: Iterable[Image]) -> int:
    """Print the table of photos; return how many there were."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("id", "file", "owner", "", "stored", "tags"):
        table.add_column(title, no_wrap=True)
    for image in images:
        shared = "shared" if image.visibility == "SHARED" else ""
        table.add_row(
            *(Text(safe(value)) for value in (image.id, image.file_name or "-", image.owner, shared)),
            Text(when(image.create_time)),
            named(image.tags),
        )
    print_wide(table)
    return table.row_count


def show_image(image: Image) -> None:
    """Print all about one photo."""
    rows = {
        "id": image.id,
        "file": image.file_name,
        "owner": image.owner,
        "author": image.author,
        "seen by": "everybody who is signed in" if image.visibility == "SHARED" else "its owner",
        "photo": f"{image.width} x {image.height} {image.format}, {image.content_size_bytes:,} bytes",
        "taken": when(image.capture_time),
        "stored": when(image.create_time),
        "changed": when(image.update_time),
        "model": image.model_version,
        "sha-256": image.source_sha256,
        "looks like": ", ".join(image.near_duplicate_ids),
    }
    table = Table.grid(padding=(0, 2), pad_edge=False)
    for title, value in rows.items():
        if value:
            table.add_row(Text(title, style="dim"), Text(safe(value)))
    print_wide(table)
    if not image.tags:
        print_wide(Text("  no tags"))
        return
    tags = Table.grid(padding=(0, 2), pad_edge=False)
    for tag in image.tags:
        judged = (Text(bar(tag.score), style="cyan"), f"{tag.score:.2f}") if tag.score is not None else ("", "")
        name = Text(f"  {safe(tag.name)}", style=_STYLES.get(tag.state, ""))
        tags.add_row(name, Text(safe(tag.state.lower())), Text(safe(tag.source.lower())), *judged)
    print_wide(tags)


def named(tags: Iterable[Tag]) -> Text:
    """Return the names of a photo's first tags, those that were rejected left out."""
    held = [tag for tag in tags if tag.state != REJECTED]
    shown = Text(", ").join(Text(safe(tag.name), style=_STYLES.get(tag.state, "")) for tag in held[:_TAGS_SHOWN])
    return shown.append(f" and {len(held) - _TAGS_SHOWN} more", style="dim") if len(held) > _TAGS_SHOWN else shown


def when(moment: datetime | None) -> str:
    """Return a moment in this machine's time, for people."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment is not None else ""


def print_wide(shown: Table | Text) -> None:
    """Print something as wide as it is, whatever the terminal."""
    Console(highlight=False, width=_WIDTH).print(shown, soft_wrap=True)

"""JSON lines about photos that are kept, tags by themselves, and operations. Keys are added, never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tagwright_admin.jsonl import error_object, line, tag_object
from tagwright_admin.rule_proposals import Proposal
from tagwright_client import ContentInfo, Image, Operation, TagEntry, TagwrightError


def image(shown: Image) -> str:
    """Return the line of one photo."""
    return line(image_object(shown))


def image_object(shown: Image) -> dict[str, Any]:
    """Return everything that the caller may know of a photo."""
    return {
        "id": shown.id,
        "owner": shown.owner,
        "author": shown.author,
        "visibility": shown.visibility,
        "file_name": shown.file_name,
        "source_sha256": shown.source_sha256,
        "content_sha256": shown.content_sha256,
        "content_size_bytes": shown.content_size_bytes,
        "width": shown.width,
        "height": shown.height,
        "format": shown.format,
        "capture_time": _time(shown.capture_time),
        "create_time": _time(shown.create_time),
        "update_time": _time(shown.update_time),
        "model_version": shown.model_version,
        "tags": [tag_object(tag) for tag in shown.tags],
        "near_duplicate_ids": list(shown.near_duplicate_ids),
    }


def image_deleted(id: str) -> str:
    """Return the line of a photo that is gone."""
    return line({"id": id, "deleted": True})


def image_saved(id: str, *, path: str, info: ContentInfo) -> str:
    """Return the line of a photo whose bytes were written to a file."""
    return line(
        {"id": id, "path": path, "media_type": info.media_type, "size_bytes": info.size_bytes, "sha256": info.sha256}
    )


def tag_entry(shown: TagEntry, *, before: TagEntry | None = None) -> str:
    """Return the line of one tag by itself; with what there was before, also what differs."""
    changed = {}
    if before is not None:
        for title, old, new in (
            ("aliases", before.aliases, shown.aliases),
            ("parents", before.parents, shown.parents),
        ):
            changed[f"{title}_added"] = [name for name in new if name not in old]
            changed[f"{title}_removed"] = [name for name in old if name not in new]
    return line(
        {
            "name": shown.name,
            "aliases": list(shown.aliases),
            "parents": list(shown.parents),
            "image_count": shown.image_count,
            "confirmed_count": shown.confirmed_count,
            **changed,
        }
    )


def tag_proposal(shown: Proposal, *, applied: bool | None = None, error: TagwrightError | None = None) -> str:
    """Return the line of rules that are proposed for a tag; of such that were to be set, also what became of it."""
    told: dict[str, Any] = {
        "name": shown.name,
        "image_count": shown.photos,
        "aliases_added": [name for name, _ in shown.aliases],
        "parents_added": list(shown.parents),
        "gloss": shown.gloss,
    }
    if applied is not None:
        told["applied"] = applied
    if error is not None:
        told["error"] = error_object(error)
    return line(told)


def operation(shown: Operation) -> str:
    """Return the line of one operation."""
    return line(
        {
            "id": shown.id,
            "state": shown.state,
            "username": shown.username,
            "create_time": _time(shown.create_time),
            "update_time": _time(shown.update_time),
            "end_time": _time(shown.end_time),
            "filter": _filter(shown),
            "model_version": shown.model_version,
            "dry_run": shown.dry_run,
            "total": shown.total,
            "pending": shown.pending,
            "done": shown.done,
            "failed": shown.failed,
            "tag_changes": [
                {"tag": change.tag, "added": change.added, "removed": change.removed, "moved": change.moved}
                for change in shown.tag_changes
            ],
            "failures": [{"id": each.image_id, "error": error_object(each.error)} for each in shown.failures],
            "error": error_object(shown.error) if shown.error is not None else None,
        }
    )


def _filter(shown: Operation) -> dict[str, Any]:
    return {
        "ids": list(shown.filter.ids),
        "source_sha256s": list(shown.filter.source_sha256s),
        "owner": shown.filter.owner,
        "create_time_from": _time(shown.filter.create_time_from),
        "create_time_before": _time(shown.filter.create_time_before),
        "model_version": shown.filter.model_version,
        "except_model_version": shown.filter.except_model_version,
        "untagged": shown.filter.untagged,
        "tag": shown.filter.tag,
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None

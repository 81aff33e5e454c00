"""JSON lines for programs: one object a photo or model, errors in their place. Keys are added, never changed."""

from __future__ import annotations

import json
from typing import Any

from tagwright_client import Evidence, Model, PhotoTags, Tag, TagwrightError

_SCORE_DIGITS = 6  # what a 32-bit score carries; more would be noise of its conversion


def photo(path: str, tags: PhotoTags | None, error: TagwrightError | None) -> str:
    """Return the line of one photo: its tags, or the error that it met."""
    if tags is None:
        return line({"photo": path, "error": error_object(error) if error is not None else {}})
    return line(
        {
            "photo": path,
            "tags": [tag_object(tag) for tag in tags.tags],
            "model_version": tags.model_version,
            "width": tags.width,
            "height": tags.height,
            "format": tags.format,
            "timings": {
                "decode_ms": tags.timings.decode_ms,
                "queue_ms": tags.timings.queue_ms,
                "inference_ms": tags.timings.inference_ms,
                "total_ms": round(tags.timings.total_ms, 3),
            },
        }
    )


def problem(path: str, text: str) -> str:
    """Return the line of a folder that gave no photos."""
    return line({"photo": path, "error": {"reason": "PHOTO_UNREADABLE", "code": "", "text": text, "metadata": {}}})


def model(served: Model, *, engine: str) -> str:
    """Return the line of one model."""
    return line(
        {
            "model": served.id,
            "name": served.name,
            "version": served.version,
            "is_default": served.is_default,
            "engine": engine,
            "architecture": served.architecture,
            "digest": served.digest,
            "embedding_size": served.embedding_size,
            "create_time": served.create_time.isoformat() if served.create_time else None,
            "metrics": dict(served.metrics),
            "labels": [
                {
                    "name": label.name,
                    "default_threshold": rounded(label.default_threshold),
                    "thresholds": {str(precision): rounded(score) for precision, score in label.thresholds.items()},
                    "average_precision": label.average_precision,
                }
                for label in served.labels
            ],
        }
    )


def line(value: dict[str, Any]) -> str:
    """Return an object as one line."""
    # ASCII only: no file name can then break a line or reach the terminal as a control sequence, and a name that is
    # not UTF-8 survives as Python's own surrogate escapes.
    return json.dumps(value, ensure_ascii=True)


def rounded(score: float | None) -> float | None:
    """Return a score with no more digits than it has."""
    return round(score, _SCORE_DIGITS) if score is not None else None


def tag_object(tag: Tag) -> dict[str, Any]:
    """Return what is told of a tag of a photo; `score` is null where nothing has judged it."""
    shown: dict[str, Any] = {
        "name": tag.name,
        "score": rounded(tag.score),
        "state": tag.state,
        "source": tag.source,
        "model_version": tag.model_version,
    }
    if tag.evidence:
        shown["evidence"] = [evidence_object(why) for why in tag.evidence]
    return shown


def evidence_object(why: Evidence) -> dict[str, Any]:
    """Return what is told of one reason."""
    return {
        "kind": why.kind,
        "text": why.text,
        "value": why.value,
        "threshold": why.threshold,
        "image_ids": list(why.image_ids),
        "tags": list(why.tags),
    }


def error_object(error: TagwrightError) -> dict[str, Any]:
    """Return what is told of an error."""
    shown: dict[str, Any] = {
        "reason": error.reason,
        "code": error.code,
        "text": str(error),
        "metadata": dict(error.metadata),
    }
    if error.retry_after_s is not None:
        shown["retry_after_s"] = error.retry_after_s
    if error.field_violations:
        shown["field_violations"] = [
            {"field": wrong.field, "description": wrong.description} for wrong in error.field_violations
        ]
    return shown

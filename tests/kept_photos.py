"""A client of a server in memory that keeps photos, for tests of the command line: what the SDK's client would do.

It keeps to the contract as far as the command line can see it. The photo's bytes are the script: `b"dog"` gets the tag
dog, suggested at .75; `b"!truncated"` is refused. What else shall happen a test says with `behave`.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tagwright_admin import connection
from tagwright_admin.commands import app
from tagwright_client import (
    Content,
    ContentInfo,
    Image,
    ImageFilter,
    ImageRejected,
    NotFound,
    Operation,
    PhotoTags,
    PhotoUnreadable,
    Tag,
    TagChange,
    TagEntry,
    TagwrightError,
    Timings,
    UploadPhoto,
    UploadResult,
    User,
    WhoAmI,
)

URL = "grpc://fake:8470"
MODEL = "fake@1"
STORED = datetime(2026, 11, 24, 8, 0, tzinfo=timezone.utc)
_ORDER = ("CONFIRMED", "SUGGESTED", "REJECTED")


@dataclass(frozen=True)
class Done:
    """How the command ended and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What programs read."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def count(self, title: str) -> str:
        """What a summary says."""
        found = re.search(rf"^{re.escape(title)} +(\S+)", self.stdout, re.MULTILINE)
        assert found, f"no {title} in {self.stdout!r}"
        return found[1]


def run(*arguments: str | Path, stdin: str | None = None) -> Done:
    """Run the command to its end in this process."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    """A server in memory that every command talks to, on a machine where nothing was done before."""
    fake = KeptPhotos()
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TAGWRIGHT_URL", URL)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(connection, "open_client", lambda *given, **named: fake)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return fake


def tag(name: str, state: str = "SUGGESTED", score: float | None = 0.75, source: str = "MODEL") -> Tag:
    """A tag of a photo."""
    return Tag(name, score, state, source, MODEL if score is not None else "")


def operation(id: str = "op1", **changes: Any) -> Operation:
    """An operation that is over, with two tags that changed."""
    done = Operation(
        id=id,
        state="SUCCEEDED",
        username="ada",
        create_time=STORED,
        update_time=STORED,
        end_time=STORED,
        filter=ImageFilter(),
        model_version="fake@2",
        dry_run=False,
        total=3,
        pending=0,
        done=3,
        failed=0,
        tag_changes=(TagChange("dog", 2, 0, 1), TagChange("sky\x1b", 0, 1, 0)),
    )
    return replace(done, **changes)


@dataclass
class KeptPhotos:
    """The photos, what was asked, and what shall happen next. Whoever asks is `me`."""

    me: str = "ada"
    kept: dict[str, Image] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    offered: list[UploadPhoto] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    entries: dict[str, TagEntry] = field(default_factory=dict)
    running: list[Operation] = field(default_factory=list)
    behave: Callable[[int, UploadPhoto], None] = lambda number, photo: None
    url: str = URL
    closed: int = 0

    def __enter__(self) -> KeptPhotos:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def who_am_i(self) -> WhoAmI:
        user = User("1", self.me, "ADMIN", False, None, None, None)
        return WhoAmI(user, "ADMIN", (), None, None)

    def keep(self, data: bytes, *tags: Tag, owner: str | None = None, **fields: Any) -> Image:
        """Keep a photo as if it had been uploaded."""
        number = len(self.kept) + 1
        image = Image(
            id=f"{number:032x}",
            owner=owner or self.me,
            author="",
            visibility="PRIVATE",
            file_name=f"{number}.jpg",
            source_sha256=hashlib.sha256(data).hexdigest(),
            content_sha256=hashlib.sha256(data).hexdigest(),
            content_size_bytes=len(data),
            width=40,
            height=30,
            format="JPEG",
            capture_time=None,
            create_time=STORED + timedelta(minutes=number),
            update_time=STORED,
            model_version=MODEL,
            tags=_sorted(tags),
        )
        self.kept[image.id] = replace(image, **fields)
        self.data[image.id] = data
        return self.kept[image.id]

    def upload(self, photos: Iterable[UploadPhoto], **options: Any) -> Iterator[UploadResult]:
        self.calls.append(("upload", options))
        for number, photo in enumerate(photos):
            self.offered.append(photo)
            self.behave(number, photo)
            yield self._stored(photo, options)

    def image(self, id: str) -> Image:
        if id not in self.kept:
            raise NotFound("no such photo", code="NOT_FOUND")
        return self.kept[id]

    def images(self, **asked: Any) -> Iterator[Image]:
        self.calls.append(("images", asked))
        found = [image for image in reversed(self.kept.values()) if _fits(image, asked)]
        return iter(found)

    def update_image(self, id: str, *, visibility: str | None = None, author: str | None = None) -> Image:
        image = self.image(id)
        self.kept[id] = replace(
            image, visibility=visibility or image.visibility, author=image.author if author is None else author
        )
        return self.kept[id]

    def delete_image(self, id: str) -> None:
        self.image(id)
        del self.kept[id]

    def content(self, id: str, *, variant: str = "KEPT") -> Content:
        self.image(id)
        data = self.data[id] if variant == "KEPT" else b"small"
        return Content("image/jpeg", len(data), hashlib.sha256(data).hexdigest(), data)

    def save_content(self, id: str, path: str, *, variant: str = "KEPT") -> ContentInfo:
        content = self.content(id, variant=variant)
        Path(path).write_bytes(content.data)
        return ContentInfo(content.media_type, content.size_bytes, content.sha256)

    def review(
        self,
        id: str,
        *,
        confirm: Iterable[str] = (),
        reject: Iterable[str] = (),
        add: Iterable[str] = (),
        suggest: Iterable[tuple[str, float | None]] = (),
        reset: Iterable[str] = (),
    ) -> Image:
        self.calls.append(("review", {"id": id}))
        image = self.image(id)
        tags = {each.name: each for each in image.tags}
        for name in confirm:
            if name not in tags:
                raise NotFound(f"it has no tag {name}", code="NOT_FOUND")
            tags[name] = replace(tags[name], state="CONFIRMED")
        for name in reject:
            tags[name] = replace(tags.get(name, tag(name, score=None, source="USER")), state="REJECTED")
        for name in add:
            tags[name] = tag(name, "CONFIRMED", None, "USER")
        for name, score in suggest:
            if name not in tags or tags[name].state == "SUGGESTED":
                tags[name] = tag(name, "SUGGESTED", score, "IMPORT")
        for name in reset:
            tags[name] = replace(tags[name], state="SUGGESTED")
        self.kept[id] = replace(image, tags=_sorted(tags.values()))
        return self.kept[id]

    def tags(self, *, prefix: str = "", order: str = "NAME") -> Iterator[TagEntry]:
        self.calls.append(("tags", {"prefix": prefix, "order": order}))
        return iter([entry for name, entry in sorted(self.entries.items()) if name.startswith(prefix)])

    def rename_tag(self, name: str, new_name: str) -> TagEntry:
        self.calls.append(("rename_tag", {"name": name, "new_name": new_name}))
        return TagEntry(new_name, (name,), (), 2, 1)

    def merge_tags(self, sources: Iterable[str], target: str) -> TagEntry:
        self.calls.append(("merge_tags", {"sources": list(sources), "target": target}))
        return TagEntry(target, tuple(sources), (), 2, 1)

    def set_tag_rules(self, name: str, *, aliases: Iterable[str] = (), parents: Iterable[str] = ()) -> TagEntry:
        self.entries[name] = TagEntry(name, tuple(aliases), tuple(parents), 0, 0)
        return self.entries[name]

    def retag(self, **asked: Any) -> Operation:
        self.calls.append(("retag", asked))
        begun = operation(state="PENDING", done=0, pending=3, tag_changes=(), dry_run=asked["dry_run"])
        self.running = [begun]
        return begun

    def operation(self, id: str) -> Operation:
        found = next((each for each in self.running if each.id == id), None)
        if found is None:
            raise NotFound("no such operation", code="NOT_FOUND")
        return found

    def operations(self) -> Iterator[Operation]:
        return iter(self.running)

    def cancel_operation(self, id: str) -> Operation:
        return replace(self.operation(id), state="CANCELLED")

    def wait_for_operation(self, id: str, *, on_progress: Callable[[Operation], object]) -> Operation:
        on_progress(self.operation(id))
        return operation(id, dry_run=self.operation(id).dry_run)

    def _stored(self, photo: UploadPhoto, options: dict[str, Any]) -> UploadResult:
        same = [image for image in self.kept.values() if image.source_sha256 == photo.sha256 and image.owner == self.me]
        if same and photo.sha256:
            return UploadResult(photo, _answer(same[0], existing=True), None, 0)
        try:
            data = photo.photo() if callable(photo.photo) else Path(str(photo.photo)).read_bytes()
        except OSError as err:
            return UploadResult(photo, None, PhotoUnreadable(f"cannot read the photo: {err.strerror}"), 0)
        if data.startswith(b"!"):
            error: TagwrightError = ImageRejected(f"the photo is {data[1:].decode()}", code="INVALID_ARGUMENT")
            return UploadResult(photo, None, error, len(data))
        typed = (tag(name, "CONFIRMED", None, "USER") for name in photo.user_tags)
        seen = tag(data.decode(errors="replace")[:20])
        image = self.keep(data, *typed, seen, file_name=photo.file_name, author=photo.author)
        self.update_image(image.id, visibility=options["visibility"])
        return UploadResult(photo, _answer(image, existing=False), None, len(data))


def _answer(image: Image, *, existing: bool) -> PhotoTags:
    return PhotoTags(
        tags=image.tags,
        model_version=MODEL,
        width=40,
        height=30,
        format="JPEG",
        embedding=(),
        timings=Timings(None, None, None, 1.0),
        image_id=image.id,
        existing=existing,
    )


def _sorted(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    return tuple(sorted(tags, key=lambda each: (_ORDER.index(each.state), -(each.score or 0.0), each.name)))


def _fits(image: Image, asked: dict[str, Any]) -> bool:
    shown = {each.name for each in image.tags if each.state != "REJECTED"}
    return (
        (asked.get("ids") is None or image.id in asked["ids"])
        and (asked.get("source_sha256s") is None or image.source_sha256 in asked["source_sha256s"])
        and asked.get("owner") in (None, image.owner)
        and (asked.get("tag") is None or asked["tag"] in shown)
        and not (asked.get("untagged") and shown)
        and asked.get("model_version") in (None, image.model_version)
    )

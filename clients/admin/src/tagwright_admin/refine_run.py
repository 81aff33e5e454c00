"""What `refine` asks about: a photo that lies here with the tags people gave it, or one that is kept. Shows nothing.

Promises: a photo is read once; its tags are those that an upload of it would bring.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tagwright_admin import embedded, tag_names, upload_run
from tagwright_admin.connection import USAGE, Refused
from tagwright_admin.folders import PHOTO_LIMIT_BYTES
from tagwright_admin.local_photos import LocalPhoto
from tagwright_admin.upload_run import TagsOf
from tagwright_client import Client, Refinement

Asked = dict[str, Any]  # the options of the SDK's `refine`


@dataclass(frozen=True, slots=True)
class Subject:
    """A photo whose tags are judged: `image` is set where it lies here, `image_id` where the server keeps it.

    `user_tags` is None where the server knows them. `problems` are of sidecars, `left_out` counts what is no tag.
    """

    shown: str
    image: bytes | None = field(default=None, repr=False)
    image_id: str = ""
    user_tags: tuple[str, ...] | None = None
    left_out: int = 0
    problems: tuple[str, ...] = ()

    def refine(self, client: Client, asked: Asked) -> Refinement:
        """Ask the server."""
        if self.image is not None:
            return client.refine(self.image, user_tags=self.user_tags or (), **asked)
        return client.refine(image_id=self.image_id, user_tags=self.user_tags or (), **asked)


@dataclass(frozen=True, slots=True)
class Writing:
    """What a review is to say of a kept photo: what refinement removes is rejected, what it adds is suggested."""

    reject: tuple[str, ...] = ()
    suggest: tuple[tuple[str, float | None], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.reject or self.suggest)


def typed(tags: str) -> tuple[str, ...]:
    """Return the tags of a command line, separated by commas. Raises Refused for what the server takes for none."""
    names = [name for name in map(str.strip, tags.split(",")) if name]
    found = tag_names.usable(names)
    if found.left_out:
        raise Refused(
            f"--tags: {found.left_out} of {len(names)} cannot be tags; a tag has 1 to {tag_names.LONGEST} characters "
            f"and no control characters, a photo at most {tag_names.MOST} tags",
            exit_code=USAGE,
        )
    return found.names


def local(photo: LocalPhoto, *, tags: tuple[str, ...] | None, beside: TagsOf, use_embedded: bool) -> Subject:
    """Read a photo; without `tags`, also those beside it, and behind them those that it carries. Raises OSError."""
    image = _bytes(photo)
    if tags is not None:
        return Subject(photo.path, image, user_tags=tags)
    found = beside(photo)
    names = tag_names.usable([*found.tags, *(embedded.keywords(image) if use_embedded else ())])
    return Subject(photo.path, image, user_tags=names.names, left_out=names.left_out, problems=found.problems)


def kept(image_id: str, *, tags: tuple[str, ...] | None) -> Subject:
    """Return a photo that the server keeps."""
    return Subject(image_id, image_id=image_id, user_tags=tags)


def beside(*, use_sidecars: bool) -> TagsOf:
    """Return where the tags beside a photo come from."""
    return upload_run.from_sidecars if use_sidecars else upload_run.no_tags


def writing(refinement: Refinement) -> Writing:
    """Return what the decisions amount to; what is kept or unsure is left as it is."""
    return Writing(
        reject=tuple(each.name for each in refinement.decisions if each.decision == "REMOVE"),
        suggest=tuple((each.name, each.score) for each in refinement.decisions if each.decision == "ADD"),
    )


def _bytes(photo: LocalPhoto) -> bytes:
    if photo.read is not None:
        return photo.read()
    with open(photo.path, "rb") as file:
        return file.read(PHOTO_LIMIT_BYTES + 1)  # what is longer the client refuses

"""The calls about photos that are kept: finding them, their bytes, who sees them, and what people say of their tags."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime

from tagwright.v1 import tagging_service_pb2 as pb

from . import _account_convert as arguments
from . import _image_convert as convert
from ._errors import ArgumentInvalid, InternalError
from ._image_values import Content, ContentInfo, Image
from ._part import CALL_TIMEOUT_S, Part
from ._results import Results

CONTENT_TIMEOUT_S = 60.0


class Images(Part):
    """What every client can do about photos that are kept.

    Photos of others that are not shared do not exist: NotFound. Calls that change something take a `request_id`, as
    the account calls do. Lists are read page by page, of `page_size` each, as they are gone through, `timeout_s` for
    each page; `page_token` says where to go on, from `next_page_token` of earlier results of the same arguments.
    """

    def image(self, id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> Image:
        """Return one photo with its tags, and with the photos that look the same to the eye."""
        request = pb.GetImageRequest(image_id=arguments.text("id", id))
        return convert.image(self._connection.call(self._stub.GetImage, request, timeout_s=timeout_s).image)

    def images(
        self,
        *,
        ids: Iterable[str] | None = None,
        source_sha256s: Iterable[str] | None = None,
        owner: str | None = None,
        create_time_from: datetime | None = None,
        create_time_before: datetime | None = None,
        model_version: str | None = None,
        except_model_version: str | None = None,
        untagged: bool = False,
        tag: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Results[Image]:
        """Go through the photos that one may see, the last stored first: those that all that is given holds for.

        `ids` and `source_sha256s` (of the bytes as they came), at most 500 each; times are datetimes with a time zone;
        models are `name@version`; `untagged`: no tag but rejected ones; `tag`: suggested or confirmed.
        """
        asked = convert.image_filter(
            ids=ids,
            source_sha256s=source_sha256s,
            owner=owner,
            create_time_from=create_time_from,
            create_time_before=create_time_before,
            model_version=model_version,
            except_model_version=except_model_version,
            untagged=untagged,
            tag=tag,
        )

        def page(page_token: str) -> pb.ListImagesResponse:
            request = pb.ListImagesRequest(filter=asked, page_size=page_size or 0, page_token=page_token)
            return self._connection.call(self._stub.ListImages, request, timeout_s=timeout_s)

        return Results(page, lambda response: map(convert.image, response.images), page_token=page_token)

    def update_image(
        self,
        id: str,
        *,
        visibility: str | None = None,
        author: str | None = None,
        request_id: str | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Image:
        """Change what is not None: who else sees a photo ("PRIVATE", "SHARED"), who took it ("": not known)."""
        request = pb.UpdateImageRequest(
            image_id=arguments.text("id", id),
            visibility=convert.visibility(visibility),
            author=arguments.text("author", author) if author is not None else None,
            request_id=arguments.request_id(request_id),
        )
        response = self._connection.call(
            self._stub.UpdateImage, request, timeout_s=timeout_s, request_id=request.request_id
        )
        return convert.image(response.image)

    def delete_image(self, id: str, *, request_id: str | None = None, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Remove a photo with its tags, for good."""
        request = pb.DeleteImageRequest(image_id=arguments.text("id", id), request_id=arguments.request_id(request_id))
        self._connection.call(self._stub.DeleteImage, request, timeout_s=timeout_s, request_id=request.request_id)

    def content(self, id: str, *, variant: str = "KEPT", timeout_s: float = CONTENT_TIMEOUT_S) -> Content:
        """Return the bytes of a photo: what is kept, or with "THUMBNAIL" a JPEG of at most 384 pixels a side.

        They have the size and the digest that the server said, or it is an InternalError. `timeout_s` covers all.
        """
        data = bytearray()
        info = self._receive(id, data.extend, variant=variant, timeout_s=timeout_s)
        return Content(media_type=info.media_type, size_bytes=info.size_bytes, sha256=info.sha256, data=bytes(data))

    def save_content(
        self,
        id: str,
        path: str | os.PathLike[str],
        *,
        variant: str = "KEPT",
        timeout_s: float = CONTENT_TIMEOUT_S,
    ) -> ContentInfo:
        """Write the bytes of a photo to `path`, in place of what is there, and return what they are.

        The file is there only once it is complete and right. OSError where it cannot be written.
        """
        path = os.fspath(path)
        unfinished = f"{path}.{secrets.token_hex(4)}.part"
        try:
            with open(unfinished, "xb") as file:
                info = self._receive(id, file.write, variant=variant, timeout_s=timeout_s)
            os.replace(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise
        return info

    def review(
        self,
        id: str,
        *,
        confirm: Iterable[str] = (),
        reject: Iterable[str] = (),
        add: Iterable[str] = (),
        suggest: Iterable[str | tuple[str, float | None]] = (),
        reset: Iterable[str] = (),
        request_id: str | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Image:
        """Say what is right and wrong about the tags of a photo, and return it as it is now; it outlives every model.

        `confirm`: tags that it has and that are right. `reject`: wrong ones, whether or not it has them. `add`: right
        ones that it does not have. `suggest`: names, or names with a score, kept as suggestions where nobody decided
        yet. `reset`: decisions that are taken back. Each tag in one of them only.
        """
        if isinstance(suggest, str):
            raise TypeError(f"suggest takes several, such as [{suggest!r}], not a string")
        request = pb.ReviewTagsRequest(
            image_id=arguments.text("id", id),
            confirm=arguments.texts("confirm", confirm),
            reject=arguments.texts("reject", reject),
            add=arguments.texts("add", add),
            suggest=[convert.suggested_tag(each) for each in suggest],
            reset=arguments.texts("reset", reset),
            request_id=arguments.request_id(request_id),
        )
        response = self._connection.call(
            self._stub.ReviewTags, request, timeout_s=timeout_s, request_id=request.request_id
        )
        return convert.image(response.image)

    def _receive(self, id: str, write: Callable[[bytes], object], *, variant: str, timeout_s: float) -> ContentInfo:
        """Hand a photo's bytes to `write` as they come, and return what they are if that is what the server said."""
        request = pb.GetImageContentRequest(image_id=arguments.text("id", id), variant=convert.variant(variant))
        digest = hashlib.sha256()
        count_bytes = 0
        info: ContentInfo | None = None
        with self._connection.our_errors(oversize=ArgumentInvalid):
            call = self._connection.stream(self._stub.GetImageContent, request, timeout_s=timeout_s)
            try:
                for response in call:
                    if response.HasField("info"):
                        info = convert.content_info(response.info)
                    count_bytes += len(response.data)
                    if info is None or count_bytes > info.size_bytes:
                        break  # more than was said: it could go on for ever
                    digest.update(response.data)
                    write(response.data)
            finally:
                call.cancel()  # does nothing once it is complete
        if info is None or count_bytes != info.size_bytes or digest.hexdigest() != info.sha256:
            raise InternalError("the server's answer makes no sense: the photo's bytes are not what it says they are")
        return info

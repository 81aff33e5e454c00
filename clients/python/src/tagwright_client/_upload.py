"""The upload of any number of photos: one stream after the other until each photo has its result."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterable

from tagwright.v1 import upload_pb2

from . import _convert
from . import _image_convert as convert
from ._errors import ArgumentInvalid
from ._part import Part
from ._upload_progress import Progress
from ._upload_run import Streams, run
from ._upload_session import UploadSession
from ._upload_source import Uploadable, photos_of
from ._upload_stream import UploadStream
from ._upload_values import UploadResult

GIVE_UP_S = 120.0
PATIENCE_S = 60.0


class Uploads(Part):
    """What every client can do to have many photos kept."""

    def upload(
        self,
        photos: Uploadable,
        *,
        min_score: float | None = None,
        max_tags: int | None = None,
        target_precision: float | None = None,
        include_tags: Iterable[str] = (),
        exclude_tags: Iterable[str] = (),
        model: str | None = None,
        include_embedding: bool = False,
        include_evidence: bool = False,
        visibility: str | None = None,
        use_embedded_tags: bool = True,
        user_tag_source: str = "USER",
        progress: bool = False,
        timeout_s: float | None = None,
        window: int | None = None,
        give_up_s: float = GIVE_UP_S,
        patience_s: float = PATIENCE_S,
    ) -> Generator[UploadResult, None, None]:
        """Have photos kept, and yield one result each as it is there: stored for good, or why not.

        `photos` is a folder (its JPEG, PNG and WebP files by suffix, with all that lies below, in the order of their
        names; hidden ones are passed over) or several paths and UploadPhotos. It is read lazily: at most `window`
        photos are taken up and have not been given back, without it twice as many as the server takes at once. Nothing
        is sent that this account has stored before, so an upload that was interrupted is simply made again.

        The server sets the pace. A photo that it cannot take just now is offered again when it says, for up to
        `give_up_s` seconds; a connection that breaks is made again, for up to `patience_s` seconds, and nothing is
        stored twice. What concerns all photos is raised (TokenInvalid, NotFound for the model, ServerUnreachable);
        what was yielded before is stored. `timeout_s` is for all of it. Leaving the loop early ends the upload.

        `user_tag_source` is "USER" or "IMPORT"; the other options are those of `tag`. `progress`: write one line to
        standard error, over and over again.
        """
        if window is not None and window < 1:
            raise ArgumentInvalid(f"window must be at least 1, not {window}")
        start = upload_pb2.UploadStart(
            options=_convert.options(
                min_score=min_score,
                max_tags=max_tags,
                target_precision=target_precision,
                include_tags=include_tags,
                exclude_tags=exclude_tags,
                model=model,
                include_embedding=include_embedding,
                include_evidence=include_evidence,
            ),
            visibility=convert.visibility(visibility),
            use_embedded_tags=use_embedded_tags,
            user_tag_source=convert.user_tag_source(user_tag_source),
        )
        source, total = photos_of(photos)
        session = UploadSession(give_up_s=give_up_s, window=window)
        changed = threading.Condition()

        def open_stream() -> UploadStream:
            return UploadStream(self._connection, self._stub, start, session, changed)

        streams = Streams(open_stream, session, changed, patience_s=patience_s)
        shown = Progress(sys.stderr, total=total) if progress else None
        return run(source, session, streams, changed, progress=shown, timeout_s=timeout_s)

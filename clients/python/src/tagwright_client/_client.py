"""The client: one connection to one server, safe to share between threads. Everything it returns is ours."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from types import TracebackType

from tagwright.v1 import tagging_service_pb2 as pb

from . import _account_convert as arguments
from . import _convert, _photos
from ._accounts import Accounts
from ._cancellation import Cancellation
from ._channel import parse_url
from ._connection import Connection
from ._image_convert import visibility as visibility_number
from ._images import Images
from ._operations import Operations
from ._patience import patiently
from ._photos import Photo
from ._profile import Profile
from ._refine import Refining
from ._search import Searching
from ._security import Security
from ._tag_many import OnError, check, tag_many
from ._token import TOKEN_VARIABLE, Token, checked, checked_address
from ._upload import Uploads
from ._values import Model, PhotoTags, ServedModels, TagManyResult
from ._vocabulary import Vocabulary

TAG_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 10.0


class Client(Accounts, Images, Refining, Searching, Uploads, Vocabulary, Operations):
    """A connection to a Tagwright server; make one with `Client.connect()` and use it as a context manager.

    Safe to share between threads. Not to be carried over a fork: connect in the child process instead.
    Every method raises errors of this package's tree only (TagwrightError), and TypeError for a wrong type.
    """

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        *,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        client_certificate_file: str | os.PathLike[str] | None = None,
        client_key_file: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        forwarded_for: str | None = None,
    ) -> Client:
        """Return a client of the server at `url`: `grpc://host:port`, `grpcs://host:port` for TLS, or `unix:PATH`.

        Without `url` the environment variable TAGWRIGHT_URL says where, else it is grpc://127.0.0.1:8470. `token` is
        a session's token or a key; without it, TAGWRIGHT_TOKEN's; without either, `login()` brings one. The
        connection is made with the first call; a server that is not there shows then, as ServerUnreachable.

        With TLS, `ca_file` (PEM) names a private authority in place of the public ones, and the other two files (PEM)
        are shown to a server that asks for a client certificate. A token goes to another machine over TLS only,
        unless `insecure=True` says that plaintext will do.

        `forwarded_for`: the IP address of whom this program calls for, for the server's audit log and limits of logins;
        it believes those programs that its setting `trusted_proxies` names.
        """
        address = parse_url(url)
        security = Security(
            ca_file=ca_file,
            client_certificate_file=client_certificate_file,
            client_key_file=client_key_file,
            insecure=insecure,
        )
        if token is None:
            token = os.environ.get(TOKEN_VARIABLE) or None
        return cls(
            Connection(
                address,
                security=security,
                token=Token(checked(token) if token is not None else None),
                forwarded_for=checked_address(forwarded_for) if forwarded_for is not None else None,
            )
        )

    @property
    def url(self) -> str:
        """The server's address in full."""
        return self._connection.address.url

    def tag(
        self,
        photo: Photo,
        *,
        min_score: float | None = None,
        max_tags: int | None = None,
        target_precision: float | None = None,
        include_tags: Iterable[str] = (),
        exclude_tags: Iterable[str] = (),
        model: str | None = None,
        include_embedding: bool = False,
        include_evidence: bool = False,
        user_tags: Iterable[str] = (),
        store: bool = False,
        author: str = "",
        visibility: str | None = None,
        file_name: str | None = None,
        use_embedded_tags: bool = False,
        request_id: str | None = None,
        timeout_s: float = TAG_TIMEOUT_S,
    ) -> PhotoTags:
        """Return the tags of one photo: a path, the encoded bytes, or a file opened in binary mode.

        Without `min_score` (0 to 1; 0: every label) each label's own threshold decides; `target_precision=0.9` takes
        the thresholds fitted for "right nine times in ten" instead. `max_tags` keeps the best ones only; tags in
        `include_tags` come whatever their score, those in `exclude_tags` never. `model` is `name` or `name@version`.
        `user_tags` are those that its owner gave it; `decisions` of the answer says which are right.

        With `store` the server keeps the photo and its tags, seen by its owner alone or by all (`visibility`,
        "PRIVATE" or "SHARED"), with its `author` and its `file_name` (without: that of the path), and with
        `use_embedded_tags` the keywords in the photo itself as user tags. With `request_id`, a UUID4, it is done at
        most once, as in the account calls.
        """
        options = _convert.options(
            min_score=min_score,
            max_tags=max_tags,
            target_precision=target_precision,
            include_tags=include_tags,
            exclude_tags=exclude_tags,
            model=model,
            include_embedding=include_embedding,
            include_evidence=include_evidence,
        )
        request = pb.TagImageRequest(
            user_tags=arguments.texts("user_tags", user_tags),
            options=options,
            store=store,
            author=arguments.text("author", author),
            request_id=arguments.request_id(request_id) if store or request_id is not None else "",
            visibility=visibility_number(visibility),
            file_name=_file_name(photo, file_name, store=store),
            use_embedded_tags=use_embedded_tags,
        )
        request.image = _photos.read(photo)  # last: what is wrong with the rest is said without reading it
        return self._tag_image(request, timeout_s=timeout_s)

    def tag_many(
        self,
        photos: Iterable[Photo],
        *,
        concurrency: int = 8,
        on_error: OnError = "raise",
        min_score: float | None = None,
        max_tags: int | None = None,
        target_precision: float | None = None,
        include_tags: Iterable[str] = (),
        exclude_tags: Iterable[str] = (),
        model: str | None = None,
        include_embedding: bool = False,
        include_evidence: bool = False,
        store: bool = False,
        author: str = "",
        visibility: str | None = None,
        use_embedded_tags: bool = False,
        timeout_s: float = TAG_TIMEOUT_S,
    ) -> Generator[TagManyResult, None, None]:
        """Tag many photos, `concurrency` at a time, and yield one result each in the photos' order.

        `photos` is read lazily, never more than 2 x `concurrency` ahead of what has been taken. With
        `on_error="raise"` the first photo that fails ends the iteration with its error; with "return" its result
        holds the error and the others go on. While the server is overloaded each photo waits as the server asks,
        within its own `timeout_s`. Leaving the loop early cancels what is under way. Options are those of `tag`. To
        have a great many kept, `upload` is the better way: it sends nothing that the server has.
        """
        check(concurrency=concurrency, on_error=on_error)
        options = _convert.options(
            min_score=min_score,
            max_tags=max_tags,
            target_precision=target_precision,
            include_tags=include_tags,
            exclude_tags=exclude_tags,
            model=model,
            include_embedding=include_embedding,
            include_evidence=include_evidence,
        )

        asked = pb.TagImageRequest(
            options=options,
            store=store,
            author=arguments.text("author", author),
            visibility=visibility_number(visibility),
            use_embedded_tags=use_embedded_tags,
        )

        def tag_one(photo: Photo, cancellation: Cancellation) -> PhotoTags:
            request = pb.TagImageRequest()
            request.CopyFrom(asked)
            request.image = _photos.read(photo)
            if store:
                request.request_id = arguments.request_id(None)
                request.file_name = _photos.file_name(photo)

            def attempt(left_s: float) -> PhotoTags:
                return self._tag_image(request, timeout_s=left_s, cancellation=cancellation)

            return patiently(attempt, cancellation, timeout_s=timeout_s)

        return tag_many(tag_one, photos, concurrency=concurrency, on_error=on_error)

    def models(self, *, timeout_s: float = READ_TIMEOUT_S) -> ServedModels:
        """Return every model the server can run, with labels, thresholds and measured quality, and its engine."""
        give_up_at = time.monotonic() + timeout_s
        models: list[Model] = []
        page_token = ""
        while True:
            request = pb.ListModelsRequest(page_token=page_token)
            page = self._connection.call(self._stub.ListModels, request, timeout_s=give_up_at - time.monotonic())
            models.extend(_convert.model(message) for message in page.models)
            page_token = page.next_page_token
            if not page_token:
                return ServedModels(
                    models=tuple(models), engine=page.engine, uptime_s=page.uptime.ToNanoseconds() / 1e9
                )

    def profile(self) -> Profile:
        """Return what collects where the time of this client's calls goes, while a `with` block runs.

        `with client.profile() as profile: ...`, then `print(profile)`, or `profile.calls` for programs.
        """
        return Profile(self._connection.recorder)

    def close(self) -> None:
        """End the connection and every call under way; calling it again does nothing."""
        self._connection.close()

    def __enter__(self) -> Client:
        """Return the client itself; leaving the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def __repr__(self) -> str:
        """Show the address, and whether the client is closed."""
        return f"<Client of {self.url}{', closed' if self._connection.closed else ''}>"

    def _tag_image(
        self, request: pb.TagImageRequest, *, timeout_s: float, cancellation: Cancellation | None = None
    ) -> PhotoTags:
        response, timings = self._connection.timed_call(
            self._stub.TagImage,
            request,
            timeout_s=timeout_s,
            request_id=request.request_id or None,
            cancellation=cancellation,
        )
        return _convert.photo_tags(response.tags, timings=timings)


def _file_name(photo: Photo, given: str | None, *, store: bool) -> str:
    if given is not None:
        return arguments.text("file_name", given)
    return _photos.file_name(photo) if store else ""

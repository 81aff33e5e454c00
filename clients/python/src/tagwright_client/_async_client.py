"""The asyncio twin of the client: the same names, arguments, values and errors, awaited.

It runs the methods of `Client` in threads of its own rather than on grpc.aio. What surrounds a call here is most of the
work (the upload's machine and its streams, the window of `tag_many`, patience, translation of errors, the profile), and
grpc.aio would need all of it a second time, in another colour; two that must stay alike do not. The price is a thread
per call under way and two hand-overs per call: half a millisecond on two busy cores, where a photo takes tens. What
threads do not have by themselves, `_cancellation.py` gives them: when an awaiting task is cancelled, so is the call.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable
from types import TracebackType

from ._cancellation import current
from ._channel import parse_url
from ._client import Client
from ._image_values import Operation
from ._profile import Profile, Recorder
from ._twin import Twin, awaited, paged, searched, streamed


class AsyncClient(Twin):
    """`Client` for asyncio; make one with `AsyncClient.connect()` and use it with `async with`.

    Methods that return one thing are awaited, those that return an iterator are gone through with `async for`, and what
    `Client` says of their arguments, values and errors holds. The event loop never waits: files are read, and iterables
    of photos are gone through, in threads. Cancelling a task cancels the call that it awaits. 128 calls at most are
    under way at once; others wait for their turn.
    """

    def __init__(self, connect: Callable[[], Client], *, url: str) -> None:
        self._recorder = Recorder()
        self._url = url

        def connected() -> Client:
            client = connect()
            client._connection.recorder = self._recorder
            return client

        super().__init__(connected)

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
    ) -> AsyncClient:
        """Return a client of the server at `url`, as `Client.connect` does.

        Certificates are read, and what is wrong with them or with the token is said, by `async with`, or else by the
        first call.
        """
        address = parse_url(url)
        connect = functools.partial(
            Client.connect,
            address.url,
            token=token,
            ca_file=ca_file,
            client_certificate_file=client_certificate_file,
            client_key_file=client_key_file,
            insecure=insecure,
            forwarded_for=forwarded_for,
        )
        return cls(connect, url=address.url)

    @property
    def url(self) -> str:
        """The server's address in full."""
        return self._url

    tag = awaited(Client.tag)
    tag_many = streamed(Client.tag_many)
    refine = awaited(Client.refine)
    models = awaited(Client.models)
    upload = streamed(Client.upload)

    search = searched(Client.search)
    similar = paged(Client.similar)
    suggest_tags = awaited(Client.suggest_tags)
    related_tags = awaited(Client.related_tags)

    image = awaited(Client.image)
    images = paged(Client.images)
    update_image = awaited(Client.update_image)
    delete_image = awaited(Client.delete_image)
    content = awaited(Client.content)
    save_content = awaited(Client.save_content)
    review = awaited(Client.review)

    tags = paged(Client.tags)
    rename_tag = awaited(Client.rename_tag)
    merge_tags = awaited(Client.merge_tags)
    set_tag_rules = awaited(Client.set_tag_rules)

    retag = awaited(Client.retag)
    operation = awaited(Client.operation)
    operations = paged(Client.operations)
    cancel_operation = awaited(Client.cancel_operation)

    login = awaited(Client.login)
    logout = awaited(Client.logout)
    who_am_i = awaited(Client.who_am_i)
    change_password = awaited(Client.change_password)
    create_user = awaited(Client.create_user)
    get_user = awaited(Client.get_user)
    list_users = paged(Client.list_users)
    update_user = awaited(Client.update_user)
    delete_user = awaited(Client.delete_user)
    create_api_key = awaited(Client.create_api_key)
    list_api_keys = paged(Client.list_api_keys)
    revoke_api_key = awaited(Client.revoke_api_key)
    list_audit_events = paged(Client.list_audit_events)

    async def wait_for_operation(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[Operation], object] | None = None,
    ) -> Operation:
        """Ask for an operation until it has ended, and return it; `on_progress` is given every answer.

        It is called in the event loop's thread, and awaited if it is a coroutine function. A server that restarts
        meanwhile is waited for, up to a minute. DeadlineExceeded when it all takes longer than `timeout_s`; the
        operation goes on then.
        """
        loop = asyncio.get_running_loop()

        async def tell(operation: Operation) -> None:
            answer = on_progress(operation) if on_progress is not None else None
            if inspect.isawaitable(answer):
                await answer

        def told(operation: Operation) -> None:  # in a thread
            cancellation = current()
            assert cancellation is not None
            telling = asyncio.run_coroutine_threadsafe(tell(operation), loop)
            with cancellation.tracking(telling):
                telling.result()

        def work() -> Operation:
            return self._opened().wait_for_operation(
                id, timeout_s=timeout_s, on_progress=told if on_progress is not None else None
            )

        return await self._pool.run(work)

    def profile(self) -> Profile:
        """Return what collects where the time of this client's calls goes, while a `with` block runs.

        `with client.profile() as profile: ...`, then `print(profile)`, or `profile.calls` for programs.
        """
        return Profile(self._recorder)

    async def __aenter__(self) -> AsyncClient:
        """Return the client itself; leaving the block closes it."""
        try:
            await self._pool.run(self._opened)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.close()

    def __repr__(self) -> str:
        """Show the address, and whether the client is closed."""
        return f"<AsyncClient of {self.url}{', closed' if self._pool.closed else ''}>"

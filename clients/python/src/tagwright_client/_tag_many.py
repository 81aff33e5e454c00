"""Many photos through a bounded window: read lazily, tagged side by side, given back in order.

Each photo is a TagImage of its own rather than a slot of a TagImages batch: the server forms the batches (of all its
callers together), one slow photo holds up no other, and each answer brings its own error and its own timings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, TypeAlias

from ._cancellation import Cancellation, linked
from ._errors import ArgumentInvalid, ClientClosed, TagwrightError
from ._photos import Photo
from ._values import PhotoTags, TagManyResult

OnError: TypeAlias = Literal["raise", "return"]
TagOne: TypeAlias = Callable[[Photo, Cancellation], PhotoTags]

# Twice as many photos are taken up as are in flight: a slow photo at the head does not leave the other workers idle.
_WINDOW_PER_WORKER = 2


def check(*, concurrency: int, on_error: str) -> None:
    """Refuse arguments that make no sense, before any photo is read."""
    if concurrency < 1:
        raise ArgumentInvalid(f"concurrency must be at least 1, not {concurrency}")
    if on_error not in ("raise", "return"):
        raise ArgumentInvalid(f'on_error is "raise" or "return", not {on_error!r}')


def tag_many(
    tag_one: TagOne, photos: Iterable[Photo], *, concurrency: int, on_error: OnError
) -> Generator[TagManyResult, None, None]:
    """Yield one result a photo, in the photos' order.

    An exception of `photos` itself is raised in its place, after the results of the photos before it. However the
    generator ends (used up, failed, closed, forgotten), its calls are cancelled and its threads have ended.
    """
    with linked() as cancellation:
        yield from _tag_many(tag_one, photos, cancellation, concurrency=concurrency, on_error=on_error)


def _tag_many(
    tag_one: TagOne, photos: Iterable[Photo], cancellation: Cancellation, *, concurrency: int, on_error: OnError
) -> Generator[TagManyResult, None, None]:
    source = enumerate(photos)
    window: deque[tuple[int, Photo, Future[PhotoTags]]] = deque()
    used_up = False
    failure: Exception | None = None
    workers = ThreadPoolExecutor(concurrency, thread_name_prefix="tagwright-tag-many")
    try:
        while True:
            while not used_up and len(window) < concurrency * _WINDOW_PER_WORKER:
                try:
                    index, photo = next(source)
                except StopIteration:
                    used_up = True
                except Exception as err:  # the caller's own, to be raised when its turn comes
                    used_up, failure = True, err
                else:
                    window.append((index, photo, workers.submit(tag_one, photo, cancellation)))
                if window and window[0][2].done():
                    break  # a slow source must not hold back a result that is there
            if not window:
                break
            yield _result(*window.popleft(), on_error=on_error)
        if failure is not None:
            raise failure
    finally:
        cancellation.cancel()
        workers.shutdown(wait=True, cancel_futures=True)


def _result(index: int, photo: Photo, future: Future[PhotoTags], *, on_error: OnError) -> TagManyResult:
    try:
        return TagManyResult(index=index, photo=photo, tags=future.result())
    except ClientClosed:
        raise  # no photo's own failure
    except TagwrightError as err:
        if on_error == "return":
            return TagManyResult(index=index, photo=photo, error=err)
        if hasattr(err, "add_note"):  # Python 3.11: says which photo without changing the text
            shown = f" ({photo!r})" if not isinstance(photo, (bytes, bytearray, memoryview)) else ""
            err.add_note(f"photo {index} of tag_many{shown}")
        raise

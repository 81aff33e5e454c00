"""The decoding processes as the domain wants them: with what each model looks at, and the limits of the settings."""

from __future__ import annotations

from collections.abc import Sequence

from tagwright_server.domain.tagging import Thumbnail
from tagwright_server.errors import StartupError
from tagwright_server.images.decode import DecodeLimits
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.images.worker import DecodePool, Pending
from tagwright_server.inference.bundle import Bundle
from tagwright_server.settings import Settings


class BundleDecoder:
    """The decode pool, and what each model looks at."""

    def __init__(self, pool: DecodePool, bundles: Sequence[Bundle]) -> None:
        self._pool = pool
        self._preprocessing = {(bundle.name, bundle.version): _preprocessing(bundle) for bundle in bundles}

    def submit(self, data: bytes, model: Bundle, *, keep: bool = False, ours: bool = False) -> Pending:
        """Begin to decode a photo for a model."""
        return self._pool.submit(data, self._preprocessing[model.name, model.version], keep=keep, ours=ours)

    def thumbnail(self, data: bytes, *, timeout_s: float) -> Thumbnail:
        """Make a small picture of a photo."""
        return self._pool.submit_thumbnail(data).result(timeout_s=timeout_s)


def decode_pool(settings: Settings) -> DecodePool:
    """Start the decoding processes; close them in any case."""
    return DecodePool(
        settings.decode_workers or None,
        DecodeLimits(
            size_bytes=settings.photo_bytes_max, pixels=settings.photo_pixels_max, side=settings.photo_side_max_px
        ),
        timeout_s=settings.decode_timeout_s,
        address_space_bytes=settings.decode_memory_bytes_max,
        recycle_after=settings.decode_recycle_after_photos,
        max_waiting=settings.photos_max,  # so that it is the capacity that refuses
    )


def _preprocessing(bundle: Bundle) -> Preprocessing:
    try:
        preprocessing = Preprocessing.from_manifest(bundle.preprocessing)
    except ValueError as err:
        raise StartupError(f"{bundle.path}: {err}") from err
    if preprocessing.size != bundle.size:
        raise StartupError(
            f"{bundle.path}: preprocessing makes {preprocessing.size} pixels, the network takes {bundle.size}"
        )
    return preprocessing

"""The Python client of Tagwright: photos in, tags out.

    from tagwright_client import Client

    with Client.connect("grpc://localhost:8470") as client:
        for tag in client.tag("photo.jpg").tags:
            print(tag.name, tag.score)

This package promises plain frozen values and one error tree (drawn in `_errors.py`); neither protobuf messages nor grpc
errors leave it. Only what is listed in `__all__` is public; every module whose name starts with `_` may change.
"""

from __future__ import annotations

from ._client import Client
from ._errors import (
    ArgumentInvalid,
    ClientClosed,
    DeadlineExceeded,
    FieldViolation,
    ImageRejected,
    InternalError,
    ModelUnavailable,
    NotFound,
    Overloaded,
    PhotoUnreadable,
    ServerUnreachable,
    TagwrightError,
)
from ._photos import Photo
from ._values import Evidence, Model, ModelLabel, PhotoTags, ServedModels, Tag, TagManyResult, Timings
from ._version import __version__

__all__ = [
    "ArgumentInvalid",
    "Client",
    "ClientClosed",
    "DeadlineExceeded",
    "Evidence",
    "FieldViolation",
    "ImageRejected",
    "InternalError",
    "Model",
    "ModelLabel",
    "ModelUnavailable",
    "NotFound",
    "Overloaded",
    "Photo",
    "PhotoTags",
    "PhotoUnreadable",
    "ServedModels",
    "ServerUnreachable",
    "Tag",
    "TagManyResult",
    "TagwrightError",
    "Timings",
    "__version__",
]

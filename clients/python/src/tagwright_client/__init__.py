"""The Python client of Tagwright: photos in, tags out.

    from getpass import getpass

    from tagwright_client import Client

    with Client.connect("grpc://localhost:8470") as client:
        client.login("ada", getpass())  # or TAGWRIGHT_TOKEN, or connect(..., token=KEY)
        for tag in client.tag("photo.jpg").tags:
            print(tag.name, tag.score)
        for result in client.upload("holidays"):
            print(result.photo.photo, result.error or "kept")
        for result in client.search("dog & beach"):
            print(result.image.id, result.score)

`AsyncClient` is the same for asyncio.

This package promises plain frozen values and one error tree (drawn in `_errors.py`); neither protobuf messages nor grpc
errors leave it. Only what is listed in `__all__` is public; every module whose name starts with `_` may change.
"""

from __future__ import annotations

from ._account_values import ApiKey, AuditEvent, Login, NewApiKey, User, WhoAmI
from ._async_client import AsyncClient
from ._channel import full_url
from ._client import Client
from ._errors import (
    ArgumentInvalid,
    Busy,
    ClientClosed,
    DeadlineExceeded,
    FieldViolation,
    ImageRejected,
    InternalError,
    LastAdministrator,
    LoginFailed,
    ModelUnavailable,
    NameTaken,
    NotFound,
    Overloaded,
    PhotoUnreadable,
    QueryInvalid,
    QuotaExceeded,
    RateLimited,
    RequestIdReused,
    ScopeMissing,
    ServerUnreachable,
    StorageFull,
    TagwrightError,
    TokenInvalid,
)
from ._image_values import Content, ContentInfo, Image, ImageFailure, ImageFilter, Operation, TagChange, TagEntry
from ._photos import Photo
from ._profile import CallProfile, Profile, StageProfile
from ._results import Results
from ._search import SearchResults
from ._search_values import Facet, RelatedTag, RelatedTags, SearchResult, SimilarImage, TagMatch, TagSuggestion
from ._twin import AsyncResults, AsyncSearchResults, AsyncStream
from ._upload_values import UploadPhoto, UploadResult, UploadSource
from ._values import (
    Evidence,
    Model,
    ModelLabel,
    PhotoTags,
    Refinement,
    ServedModels,
    Tag,
    TagDecision,
    TagManyResult,
    Timings,
)
from ._version import __version__

__all__ = [
    "ApiKey",
    "ArgumentInvalid",
    "AsyncClient",
    "AsyncResults",
    "AsyncSearchResults",
    "AsyncStream",
    "AuditEvent",
    "Busy",
    "CallProfile",
    "Client",
    "ClientClosed",
    "Content",
    "ContentInfo",
    "DeadlineExceeded",
    "Evidence",
    "Facet",
    "FieldViolation",
    "Image",
    "ImageFailure",
    "ImageFilter",
    "ImageRejected",
    "InternalError",
    "LastAdministrator",
    "Login",
    "LoginFailed",
    "Model",
    "ModelLabel",
    "ModelUnavailable",
    "NameTaken",
    "NewApiKey",
    "NotFound",
    "Operation",
    "Overloaded",
    "Photo",
    "PhotoTags",
    "PhotoUnreadable",
    "Profile",
    "QueryInvalid",
    "QuotaExceeded",
    "RateLimited",
    "Refinement",
    "RelatedTag",
    "RelatedTags",
    "RequestIdReused",
    "Results",
    "ScopeMissing",
    "SearchResult",
    "SearchResults",
    "ServedModels",
    "ServerUnreachable",
    "SimilarImage",
    "StageProfile",
    "StorageFull",
    "Tag",
    "TagChange",
    "TagDecision",
    "TagEntry",
    "TagManyResult",
    "TagMatch",
    "TagSuggestion",
    "TagwrightError",
    "Timings",
    "TokenInvalid",
    "UploadPhoto",
    "UploadResult",
    "UploadSource",
    "User",
    "WhoAmI",
    "__version__",
    "full_url",
]

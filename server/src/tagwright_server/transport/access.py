"""What every call of ours asks of its caller: one table. A call that is not in it is refused, whoever makes it."""

from __future__ import annotations

from collections.abc import Mapping

from tagwright_server.domain.access import Needs, Rule
from tagwright_server.store.records import Scope

_ANYONE = Rule(Needs.NOTHING)
_SIGNED_IN = Rule(Needs.TOKEN)
_PERSON = Rule(Needs.SESSION)
_ADMIN = Rule(scope=Scope.ADMIN)
_READS_TAGS = Rule(scope=Scope.TAGGING_READ)
_WRITES_TAGS = Rule(scope=Scope.TAGGING_WRITE)
_SEARCHES = Rule(scope=Scope.SEARCH)

RULES: Mapping[str, Rule] = {
    "/tagwright.v1.AuthService/Login": _ANYONE,
    "/tagwright.v1.AuthService/Logout": _PERSON,
    "/tagwright.v1.AuthService/WhoAmI": _SIGNED_IN,
    "/tagwright.v1.AuthService/ChangePassword": _PERSON,
    "/tagwright.v1.AuthService/CreateUser": _ADMIN,
    "/tagwright.v1.AuthService/GetUser": _ADMIN,
    "/tagwright.v1.AuthService/ListUsers": _ADMIN,
    "/tagwright.v1.AuthService/UpdateUser": _ADMIN,
    "/tagwright.v1.AuthService/DeleteUser": _ADMIN,
    "/tagwright.v1.AuthService/CreateApiKey": _PERSON,
    "/tagwright.v1.AuthService/ListApiKeys": _SIGNED_IN,
    "/tagwright.v1.AuthService/RevokeApiKey": _SIGNED_IN,
    "/tagwright.v1.AuthService/ListAuditEvents": _ADMIN,
    "/tagwright.v1.TaggingService/TagImage": _READS_TAGS,  # to keep the photo as well: TO_KEEP
    "/tagwright.v1.TaggingService/TagImages": _READS_TAGS,  # the same
    "/tagwright.v1.TaggingService/UploadImages": _WRITES_TAGS,
    "/tagwright.v1.TaggingService/RefineTags": _READS_TAGS,
    "/tagwright.v1.TaggingService/GetImage": _READS_TAGS,
    "/tagwright.v1.TaggingService/ListImages": _READS_TAGS,
    "/tagwright.v1.TaggingService/UpdateImage": _WRITES_TAGS,
    "/tagwright.v1.TaggingService/DeleteImage": _WRITES_TAGS,
    "/tagwright.v1.TaggingService/GetImageContent": _READS_TAGS,
    "/tagwright.v1.TaggingService/ReviewTags": _WRITES_TAGS,
    "/tagwright.v1.TaggingService/ListTags": _READS_TAGS,
    "/tagwright.v1.TaggingService/RenameTag": _ADMIN,
    "/tagwright.v1.TaggingService/MergeTags": _ADMIN,
    "/tagwright.v1.TaggingService/SetTagRules": _ADMIN,
    "/tagwright.v1.TaggingService/RetagImages": _ADMIN,
    "/tagwright.v1.TaggingService/GetOperation": _ADMIN,
    "/tagwright.v1.TaggingService/ListOperations": _ADMIN,
    "/tagwright.v1.TaggingService/CancelOperation": _ADMIN,
    "/tagwright.v1.TaggingService/ListModels": _READS_TAGS,
    "/tagwright.v1.SearchService/SearchImages": _SEARCHES,
    "/tagwright.v1.SearchService/SuggestTags": _SEARCHES,
    "/tagwright.v1.SearchService/RelatedTags": _SEARCHES,
    "/tagwright.v1.SearchService/FindSimilar": _SEARCHES,
}

TO_KEEP = _WRITES_TAGS

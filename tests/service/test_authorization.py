"""Every call of every service, by everybody who may and may not: the calls are read off the descriptors, so that a new
one cannot be forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from clocks import MovedClock
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from servers import ADMIN, PATIENCE_S, SERVING, Failure, FakeBackend, FakeDecoder, Running, bearer, failure_of, running

from tagwright.v1 import auth_service_pb2 as auth
from tagwright.v1 import search_service_pb2 as search
from tagwright.v1 import tagging_service_pb2 as tagging
from tagwright.v1 import user_pb2
from tagwright_server.domain import tokens
from tagwright_server.domain.access import Needs
from tagwright_server.domain.credentials import Credentials
from tagwright_server.errors import ScopeMissing, TokenInvalid
from tagwright_server.store.records import Role, Scope
from tagwright_server.transport.access import RULES
from tagwright_server.transport.gate import Gate

FILES = (auth.DESCRIPTOR, tagging.DESCRIPTOR, search.DESCRIPTOR)
METHODS = [method for file in FILES for service in file.services_by_name.values() for method in service.methods]
PATHS = {f"/{method.containing_service.full_name}/{method.name}": method for method in METHODS}
AUTH = "/tagwright.v1.AuthService"
STREAMS = {f"/tagwright.v1.TaggingService/{name}" for name in ("UploadImages", "GetImageContent")}
CHANGES = {
    *("ChangePassword", "CreateUser", "UpdateUser", "DeleteUser", "CreateApiKey", "RevokeApiKey"),
    *("TagImage", "UpdateImage", "DeleteImage", "ReviewTags", "RenameTag", "MergeTags", "SetTagRules"),
    *("RetagImages", "CancelOperation"),
}
READS = {
    *("WhoAmI", "GetUser", "ListUsers", "ListApiKeys", "ListAuditEvents", "ListModels"),
    *("GetImage", "ListImages", "GetImageContent", "RefineTags", "ListTags", "GetOperation", "ListOperations"),
    *("SearchImages", "SuggestTags", "RelatedTags", "FindSimilar"),
}
# A retried login makes another session, which ends by itself; a retried logout finds no session to end. Each photo of a
# TagImages has an id of its own, and an upload stores none twice.
NEED_NO_ID = {"Login", "Logout", "TagImages", "UploadImages"}
NOT_TRIED_EMPTY = {"Login", "Logout"}

ALL, SESSIONS = frozenset({"user", "admin", "read key", "write key", "search key", "admin key"}), {"user", "admin"}
ADMINS = frozenset({"admin", "admin key"})
READERS = frozenset({"user", "admin", "read key"})
WRITERS = frozenset({"user", "admin", "write key"})
SEARCHERS = frozenset({"user", "admin", "search key"})
# RPC x who: what api.md says, written down a second time and by hand.
WHO_MAY = {
    "Logout": SESSIONS,
    "WhoAmI": ALL,
    "ChangePassword": SESSIONS,
    "CreateUser": ADMINS,
    "GetUser": ADMINS,
    "ListUsers": ADMINS,
    "UpdateUser": ADMINS,
    "DeleteUser": ADMINS,
    "CreateApiKey": SESSIONS,
    "ListApiKeys": ALL,
    "RevokeApiKey": ALL,
    "ListAuditEvents": ADMINS,
    "TagImage": READERS,
    "TagImages": READERS,
    "ListModels": READERS,
    "UploadImages": WRITERS,
    "RefineTags": READERS,
    "GetImage": READERS,
    "ListImages": READERS,
    "UpdateImage": WRITERS,
    "DeleteImage": WRITERS,
    "GetImageContent": READERS,
    "ReviewTags": WRITERS,
    "ListTags": READERS,
    "RenameTag": ADMINS,
    "MergeTags": ADMINS,
    "SetTagRules": ADMINS,
    "RetagImages": ADMINS,
    "GetOperation": ADMINS,
    "ListOperations": ADMINS,
    "CancelOperation": ADMINS,
    "SearchImages": SEARCHERS,
    "SuggestTags": SEARCHERS,
    "RelatedTags": SEARCHERS,
    "FindSimilar": SEARCHERS,
}


@dataclass
class Callers:
    """A server, its clock, and a token of each kind."""

    server: Running
    clock: MovedClock
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def callers(repository: Path, database_of_module: dict[str, Any]) -> Iterator[Callers]:
    clock = MovedClock()
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), clock=clock, **database_of_module) as server:
        said = {"user": server.sign_in("ann"), "admin": server.token}
        for scope in Scope:
            name = scope.value.removeprefix("tagging:")
            said[f"{name} key"] = make_key(server, server.token, scope)
        yield Callers(server, clock, said)


def make_key(
    server: Running, token: str, *scopes: Scope, lasts: timedelta | None = None, at: datetime | None = None
) -> str:
    request = auth.CreateApiKeyRequest(name="key", scopes=[scope.value for scope in scopes])
    if lasts is not None and at is not None:
        request.expire_time.FromDatetime(at + lasts)
    key: str = call(server, token, f"{AUTH}/CreateApiKey", request).key
    return key


def call(server: Running, token: str | None, path: str, request: Message | None = None, **options: Any) -> Any:
    method = PATHS[path]
    asked, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    metadata = bearer(token) if token is not None else ()
    options = {"timeout": PATIENCE_S, "metadata": metadata, **options}
    if path in STREAMS:
        one: Any = server.stranger.stream_stream(path, asked.SerializeToString, answer.FromString)
        return list(one(iter([request or asked()]), **options))
    stub: Any = server.stranger.unary_unary(path, asked.SerializeToString, answer.FromString)
    return stub(request or asked(), **options)


def outcome(server: Running, path: str, token: str) -> Failure | None:
    """How an empty request of that caller fails; None where it succeeds."""
    try:
        return failure_of(call, server, token, path)
    except AssertionError:
        return None


def refused(failure: Failure | None) -> bool:
    return failure is not None and failure.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def test_every_call_is_in_the_table_and_nothing_else() -> None:
    assert set(RULES) == set(PATHS)


def test_every_call_that_changes_something_takes_a_request_id() -> None:
    assert {method.name for method in METHODS} == CHANGES | READS | NEED_NO_ID
    assert {method.name for method in METHODS if "request_id" in method.input_type.fields_by_name} == CHANGES


def test_only_login_needs_nobody() -> None:
    assert {path for path, rule in RULES.items() if rule.needs is Needs.NOTHING} == {f"{AUTH}/Login"}


@pytest.mark.parametrize("path", [path for path in PATHS if path.rpartition("/")[2] not in NOT_TRIED_EMPTY])
def test_a_call_is_for_those_who_may_make_it_and_all_others_are_refused_alike(callers: Callers, path: str) -> None:
    name = path.rpartition("/")[2]
    found = {who: outcome(callers.server, path, token) for who, token in callers.tokens.items()}
    assert {who for who, failure in found.items() if not refused(failure)} == set(WHO_MAY[name])
    told = {failure.status.SerializeToString() for failure in found.values() if failure and refused(failure)}
    assert len(told) <= 1
    for failure in found.values():
        if failure is not None and refused(failure):
            assert (failure.code, failure.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


def test_only_a_session_is_logged_out(callers: Callers) -> None:
    path = f"{AUTH}/Logout"
    for who, token in callers.tokens.items():
        if who not in WHO_MAY["Logout"]:
            assert refused(outcome(callers.server, path, token))
    assert outcome(callers.server, path, callers.server.sign_in("ann")) is None


def bad_tokens(callers: Callers) -> dict[str, Any]:
    """Metadata that is nobody's, by what is wrong with it."""
    server, good = callers.server, callers.tokens["user"]
    revoked, disabled, deleted = server.sign_in("ann"), server.sign_in("dan"), server.sign_in("del")
    call(server, revoked, f"{AUTH}/Logout")
    key = make_key(server, server.token, Scope.ADMIN)
    (listed,) = (
        one for one in server.auth.ListApiKeys(auth.ListApiKeysRequest()).api_keys if key.startswith(one.prefix)
    )
    server.auth.RevokeApiKey(auth.RevokeApiKeyRequest(id=listed.id))
    server.auth.UpdateUser(auth.UpdateUserRequest(username="dan", disabled=True))
    server.auth.DeleteUser(auth.DeleteUserRequest(username="del"))
    brief = make_key(server, server.token, Scope.ADMIN, lasts=timedelta(hours=1), at=callers.clock.now())
    old = server.sign_in("ann")
    with callers.clock.moved(timedelta(hours=13)):  # both are seen expired, and stay so
        for expired in (brief, old):
            assert refused(outcome(server, f"{AUTH}/WhoAmI", expired))

    return {
        "none": (),
        "an empty one": bearer(""),
        "logged out": bearer(revoked),
        "of a disabled account": bearer(disabled),
        "of a deleted account": bearer(deleted),
        "a revoked key": bearer(key),
        "an expired key": bearer(brief),
        "an expired session": bearer(old),
        "truncated": bearer(good[:-1]),
        "too long": bearer(good + "A"),
        "one letter changed": bearer(good[:-1] + ("A" if good[-1] != "A" else "B")),
        "forged": bearer(tokens.make(tokens.SESSION)),
        "a forged key": bearer(tokens.make(tokens.API_KEY)),
        "a session as a key": bearer(good.replace("tws_", "twk_")),
        "in lower case": bearer(good.lower()),
        "its hash": bearer(tokens.digest(good).hex()),
        "another scheme": (("authorization", f"Basic {good}"),),
        "no scheme": (("authorization", good),),
        "said twice": bearer(good) * 2,
        "as binary metadata": (("authorization-bin", f"Bearer {good}".encode()),),
        "in another header": (("x-authorization", f"Bearer {good}"),),
        "as SQL": bearer("' OR 1=1 --"),
        "very long": bearer("A" * 4000),
    }


def test_whatever_is_wrong_with_a_token_every_call_refuses_it_in_the_same_words(callers: Callers) -> None:
    told = set()
    for what, metadata in bad_tokens(callers).items():
        for path in PATHS.keys() - {f"{AUTH}/Login"}:
            failure = failure_of(call, callers.server, None, path, metadata=metadata)
            found = (failure.code, failure.info.reason)
            assert found == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"), f"{path} with a token: {what}"
            told.add(failure.status.SerializeToString())
    assert len(told) == 1


def test_a_refused_call_is_refused_before_its_message_is_read(callers: Callers) -> None:
    refused_already = threading.Event()

    def message_that_waits() -> Iterator[bytes]:
        refused_already.wait(PATIENCE_S)
        yield from ()

    never_sent: Any = callers.server.stranger.stream_unary("/tagwright.v1.TaggingService/TagImage")
    error = never_sent.future(message_that_waits(), timeout=PATIENCE_S).exception(PATIENCE_S / 2)
    refused_already.set()
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_call_that_is_in_no_table_is_refused_to_everyone(callers: Callers) -> None:
    store = callers.server.app.data.store
    lifetime = callers.server.app.auth.sign_in.lifetime
    gate = Gate(Credentials(store, lifetime=lifetime, clock=callers.clock), rules={})
    with pytest.raises(ScopeMissing):
        gate.admit(f"{AUTH}/Login", cast("grpc.ServicerContext", Context(callers.tokens["admin"])))
    with pytest.raises(TokenInvalid):
        gate.admit(f"{AUTH}/Login", cast("grpc.ServicerContext", Context(tokens.make(tokens.SESSION))))


class Context:
    """Of a call's context no more than a gate looks at."""

    def __init__(self, token: str) -> None:
        self._token = token

    def invocation_metadata(self) -> Any:
        return (("authorization", f"Bearer {self._token}"),)

    def peer(self) -> str:
        return "ipv4:192.0.2.1:1"


def test_a_demoted_administrator_keeps_no_right_that_a_key_had(callers: Callers) -> None:
    server = callers.server
    token = server.sign_in("eve", Role.ADMIN)
    key = make_key(server, token, Scope.ADMIN, Scope.SEARCH)
    assert outcome(server, f"{AUTH}/ListUsers", key) is None
    server.auth.UpdateUser(auth.UpdateUserRequest(username="eve", role=user_pb2.ROLE_USER))
    assert refused(outcome(server, f"{AUTH}/ListUsers", key))
    assert refused(outcome(server, f"{AUTH}/ListUsers", token))
    assert call(server, key, f"{AUTH}/WhoAmI").scopes == ["search"]


def test_health_needs_no_token(callers: Callers) -> None:
    stranger = replace(callers.server, channel=callers.server.stranger)
    names = ("", *(service.full_name for file in FILES for service in file.services_by_name.values()))
    assert [stranger.health(name) for name in names] == [SERVING] * 4


def test_the_administrator_of_these_tests_is_one(callers: Callers) -> None:
    said = callers.server.auth.WhoAmI(auth.WhoAmIRequest())
    assert (said.user.username, said.role) == (ADMIN, user_pb2.ROLE_ADMIN)

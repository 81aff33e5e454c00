"""Keys of backend services through a real server, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest
from calls import called, new_key
from clocks import MovedClock
from google.protobuf.timestamp_pb2 import Timestamp
from servers import Running, failure_of

from tagwright.v1 import auth_service_pb2 as pb
from tagwright_server.domain.api_keys import MOST_VALID


def test_a_key_is_shown_once_works_and_is_revoked_at_once(stored: Running, clock: MovedClock) -> None:
    token = stored.sign_in("ann")
    made = called(stored, token, "CreateApiKey")(new_key())
    who = called(stored, made.key, "WhoAmI")(pb.WhoAmIRequest())
    assert (who.user.username, list(who.scopes), who.api_key.id) == ("ann", ["tagging:read"], made.api_key.id)
    assert not who.HasField("expire_time")
    clock.by += timedelta(minutes=2)
    called(stored, made.key, "WhoAmI")(pb.WhoAmIRequest())
    (listed,) = called(stored, token, "ListApiKeys")(pb.ListApiKeysRequest()).api_keys
    assert (listed.prefix, listed.name, listed.username) == (made.key[:12], "uploader", "ann")
    assert made.key not in str(listed)
    assert listed.last_use_time.ToDatetime() == clock.now().replace(tzinfo=None)
    revoked = called(stored, token, "RevokeApiKey")(pb.RevokeApiKeyRequest(id=listed.id)).api_key
    assert revoked.HasField("revoke_time")
    failure = failure_of(called(stored, made.key, "WhoAmI"), pb.WhoAmIRequest())
    assert failure.info.reason == "TOKEN_INVALID"
    again = called(stored, token, "RevokeApiKey")(pb.RevokeApiKeyRequest(id=listed.id)).api_key
    assert again.revoke_time == revoked.revoke_time


def test_a_key_expires_and_stays_so(stored: Running, clock: MovedClock) -> None:
    request = new_key()
    request.expire_time.FromDatetime(clock.now() + timedelta(hours=1))
    made = stored.auth.CreateApiKey(request)
    who = called(stored, made.key, "WhoAmI")
    with clock.moved(timedelta(minutes=59)):
        assert who(pb.WhoAmIRequest()).expire_time == request.expire_time
    for hours, there in ((-2, True), (0, True), (1, False), (87_600, False), (0, False), (-2, False)):
        with clock.moved(timedelta(hours=hours)):
            if there:
                who(pb.WhoAmIRequest())
            else:
                assert failure_of(who, pb.WhoAmIRequest()).info.reason == "TOKEN_INVALID"
    kept = stored.app.data.store.api_keys.get(made.api_key.id)
    assert kept is not None
    assert kept.revoked == clock.now() + timedelta(hours=1)  # when it was first seen expired


@pytest.mark.parametrize(
    ("request_of", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"expire_time": Timestamp(seconds=1)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=1 << 60)}, "expire_time"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(stored: Running, request_of: dict[str, Any], field: str) -> None:
    assert failure_of(stored.auth.CreateApiKey, new_key(**request_of)).wrong_fields == [field]


def test_nobody_gives_a_key_more_than_they_have(stored: Running) -> None:
    token = stored.sign_in("ann")
    failure = failure_of(called(stored, token, "CreateApiKey"), new_key(scopes=["search", "admin"]))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


def test_keys_are_their_owners_and_administrators_to_see_and_to_revoke(stored: Running) -> None:
    ann, bob = stored.sign_in("ann"), stored.sign_in("bob")
    key = called(stored, ann, "CreateApiKey")(new_key())
    assert not called(stored, bob, "ListApiKeys")(pb.ListApiKeysRequest()).api_keys
    for name in ("ann", "nobody"):
        failure = failure_of(called(stored, bob, "ListApiKeys"), pb.ListApiKeysRequest(username=name))
        assert failure.info.reason == "SCOPE_MISSING"
    for key_id in (key.api_key.id, "no such key", "'; --", "\0"):
        failure = failure_of(called(stored, bob, "RevokeApiKey"), pb.RevokeApiKeyRequest(id=key_id))
        assert (failure.info.reason, failure.text) == ("NOT_FOUND", "there is no such key")
    assert [one.id for one in stored.auth.ListApiKeys(pb.ListApiKeysRequest(username="ANN")).api_keys] == [
        key.api_key.id
    ]
    assert stored.auth.RevokeApiKey(pb.RevokeApiKeyRequest(id=key.api_key.id)).api_key.username == "ann"


def test_an_account_has_a_limit_of_valid_keys(stored: Running) -> None:
    for number in range(MOST_VALID):
        made = stored.auth.CreateApiKey(new_key(name=f"key {number}"))
    failure = failure_of(stored.auth.CreateApiKey, new_key())
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    stored.auth.RevokeApiKey(pb.RevokeApiKeyRequest(id=made.api_key.id))
    stored.auth.CreateApiKey(new_key(name="the last one"))
    seen, token = [], ""
    while True:
        page = stored.auth.ListApiKeys(pb.ListApiKeysRequest(page_size=40, page_token=token))
        seen += [one.name for one in page.api_keys]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted([*(f"key {number}" for number in range(MOST_VALID)), "the last one"])


def test_disabling_an_account_stops_its_keys_for_as_long_as_it_lasts(stored: Running) -> None:
    key = called(stored, stored.sign_in("ann"), "CreateApiKey")(new_key()).key
    stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", disabled=True))
    assert failure_of(called(stored, key, "WhoAmI"), pb.WhoAmIRequest()).info.reason == "TOKEN_INVALID"
    stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", disabled=False))
    called(stored, key, "WhoAmI")(pb.WhoAmIRequest())


def test_a_key_sees_and_revokes_only_itself(stored: Running) -> None:
    ann = stored.sign_in("ann")
    first, other = (called(stored, ann, "CreateApiKey")(new_key(name=name)) for name in ("first", "other"))
    (seen,) = called(stored, first.key, "ListApiKeys")(pb.ListApiKeysRequest()).api_keys
    assert seen.id == first.api_key.id
    failure = failure_of(called(stored, first.key, "ListApiKeys"), pb.ListApiKeysRequest(username="ann"))
    assert failure.info.reason == "SCOPE_MISSING"
    revoke = called(stored, first.key, "RevokeApiKey")
    assert failure_of(revoke, pb.RevokeApiKeyRequest(id=other.api_key.id)).info.reason == "NOT_FOUND"
    revoke(pb.RevokeApiKeyRequest(id=first.api_key.id))

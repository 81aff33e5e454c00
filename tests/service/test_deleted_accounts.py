"""Accounts that are deleted take their photos along, however many these are."""

from __future__ import annotations

import pytest
from servers import Running, await_true, bearer
from uploads import upload

from tagwright.v1 import auth_service_pb2 as auth
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_server.domain import accounts


@pytest.mark.parametrize("few", [1, 500])
def test_an_account_takes_its_photos_along_and_nobody_elses(
    stored: Running, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(accounts, "_FEW_PHOTOS", few)
    metadata = bearer(stored.sign_in("leaver"))
    upload(stored.stranger, [b"1", b"2", b"3"], metadata=metadata)
    upload(stored.channel, [b"3", b"4"])
    stored.auth.DeleteUser(auth.DeleteUserRequest(username="leaver"))
    images = stored.tagging.ListImages(pb.ListImagesRequest()).images
    assert [image.owner for image in images] == ["admin", "admin"]
    stored.app.housekeeping.wake()
    await_true(lambda: len(list(stored.app.data.blobs.all())) == 2)
    assert stored.app.data.store.accounts.find("leaver") is None

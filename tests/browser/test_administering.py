"""What administrators do, in a browser: accounts, folders, zip files, tagging anew, rules of tags, what they see."""

from __future__ import annotations

import io
import re
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import SCHEMES, Watch, look_at
from playwright.sync_api import FilePayload, Locator, Page, expect
from servers import PASSWORD, await_true
from websites import MEADOW, Site, Somebody, picture

from tagwright_client import Client, LoginFailed, TokenInvalid
from tagwright_server.errors import ModelUnavailable
from tagwright_server.store.records import Role

Opening = Callable[..., Page]


@pytest.fixture
def boss(site: Site) -> Somebody:
    """An administrator."""
    return site.somebody(role=Role.ADMIN)


@pytest.fixture
def page(browse: Opening, boss: Somebody, size: str) -> Page:
    """A page in which the administrator has signed in, at each size."""
    return browse(token=boss.token, size=size)


def fresh(colour: tuple[int, int, int] = MEADOW) -> bytes:
    return picture(uuid.uuid4().int % 2**32, colour)


def zipped(files: dict[str, bytes]) -> FilePayload:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return {"name": "holiday.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}


def count(page: Page, what: str) -> Locator:
    return page.locator("#progress .counts div").filter(has_text=what).locator("dd")


def test_an_account_is_made_disabled_enabled_reset_and_deleted(page: Page, site: Site, size: str) -> None:
    name = f"eve-{size}-{uuid.uuid4().hex[:8]}"
    page.goto("/admin/users")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password, 8 characters at least").fill(PASSWORD)
    page.get_by_label("Password, again").fill(PASSWORD)
    page.get_by_role("button", name=re.compile("Make")).click()
    expect(page.locator("#notices")).to_contain_text("account")
    with Client.connect(f"grpc://{site.app.address}") as eve:
        eve.login(name, PASSWORD)
        page.goto(f"/admin/users/account?name={name}")
        page.get_by_role("button", name="Disable it").click()
        expect(page.get_by_text("The account is disabled")).to_be_visible()
        with pytest.raises(TokenInvalid):
            eve.who_am_i()
        page.get_by_role("button", name="Enable it").click()
        expect(page.get_by_text("The account is enabled.")).to_be_visible()
        page.get_by_label("New password, 8 characters at least").fill("quite another password")
        page.get_by_label("New password, again").fill("quite another password")
        page.get_by_role("button", name="Set it").click()
        expect(page.get_by_text("The password is changed")).to_be_visible()
        with pytest.raises(LoginFailed):
            eve.login(name, PASSWORD)
        eve.login(name, "quite another password")
        page.get_by_text("Delete this account").click()
        page.get_by_role("button", name=f"Delete {name} for good").dblclick()  # asked for once
        expect(page).to_have_url(re.compile(r"/admin/users\?"))
        with pytest.raises((TokenInvalid, LoginFailed)):
            eve.login(name, "quite another password")


def test_a_folder_is_sent_with_counts_and_what_failed_can_be_tried_again(
    page: Page, boss: Somebody, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("422 POST /upload/photo")
    (tmp_path / "below").mkdir()
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(fresh())
    (tmp_path / "below" / "deep.jpg").write_bytes(fresh())
    (tmp_path / "below" / "broken.jpg").write_bytes(b"no photo")
    (tmp_path / "notes.txt").write_text("no photo, and not said to be one")
    page.goto("/admin/uploads")
    page.locator("#tags-given").fill("from a folder")
    page.locator("#photos").set_input_files(tmp_path)
    state = page.locator("#upload-state")
    expect(state).to_contain_text("5 of 6 kept, 1 failed, 1 other file passed over. Done.")
    expect(page.locator("#failures")).to_contain_text("broken.jpg")
    assert len(list(boss.client.images(owner=boss.name, tag="from a folder"))) == 5
    page.get_by_role("button", name="Try those that failed again").click()
    expect(state).to_contain_text("5 of 6 kept, 1 failed")
    expect(page.locator("#failures li")).to_have_count(1)


def test_a_zip_file_is_done_in_the_background_with_counts_and_failures(page: Page, boss: Somebody) -> None:
    again = fresh()
    boss.keep(data=again)
    files = {f"day {number}/photo.jpg": fresh() for number in range(3)}
    bad = {"../../evil.jpg": fresh(), "<script>alert(1)</script>.jpg": b"no photo", "there.jpg": again, "a.txt": b"x"}
    page.goto("/admin/uploads")
    page.locator("#archive").set_input_files([zipped({**files, **bad})])
    page.locator("#zip-tags").fill("zipped")
    page.get_by_role("button", name="Send the zip file").click()
    expect(page).to_have_url(re.compile(r"/admin/uploads/[\w-]"))
    expect(page.locator("#progress")).to_contain_text("6 of 6 photos")
    expect(page.get_by_role("button", name="Dismiss it")).to_be_visible()
    assert count(page, "stored").inner_text() == "4"
    assert count(page, "were there already").inner_text() == "1"
    assert count(page, "failed").inner_text() == "1"
    expect(page.get_by_text("<script>alert(1)</script>.jpg")).to_be_visible()
    names = {image.file_name for image in boss.client.images(owner=boss.name, tag="zipped")}
    assert "evil.jpg" in names
    assert not any("/" in name for name in names)
    page.get_by_role("button", name="Try those that failed again").click()
    expect(count(page, "failed")).to_have_text("1")
    page.get_by_role("button", name="Dismiss it").click()
    expect(page.get_by_text("The zip file is removed from these pages")).to_be_visible()


def test_what_is_no_zip_file_is_said(page: Page, watch: Watch) -> None:
    watch.expect("422 POST /admin/uploads/archive")
    page.goto("/admin/uploads")
    broken: FilePayload = {"name": "x.zip", "mimeType": "application/zip", "buffer": b"PK\x03\x04 and no more"}
    page.locator("#archive").set_input_files([broken])
    page.get_by_role("button", name="Send the zip file").click()
    expect(page.get_by_role("alert")).to_contain_text("This zip file was not taken")


def test_tagging_anew_shows_what_it_would_change_before_it_does(page: Page, boss: Somebody, site: Site) -> None:
    tag = f"anew {uuid.uuid4().hex[:8]}"
    id = boss.keep(tag, colour=(0, 0, 250))
    site.eye.overlooks.add("sky")
    try:
        page.goto("/admin/operations")
        page.get_by_label("Only with this tag").fill(tag)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Look first, change nothing").click()
        expect(page.locator("#progress")).to_contain_text("succeeded")
        expect(page.locator("#progress")).to_contain_text("1 of 1 photos; nothing is changed")
        expect(page.get_by_role("row", name=re.compile("sky"))).to_contain_text("−1")
        assert "sky" in {each.name for each in boss.client.image(id).tags}
        page.get_by_role("button", name="Apply this").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Tagging anew")
        expect(page.locator("#progress")).to_contain_text("succeeded")
    finally:
        site.eye.overlooks.clear()
    await_true(lambda: "sky" not in {each.name for each in boss.client.image(id).tags})


def test_an_operation_can_be_cancelled(page: Page, boss: Somebody, site: Site) -> None:
    tag = f"slow {uuid.uuid4().hex[:8]}"
    for _ in range(3):
        boss.keep(tag)
    site.eye.latch.close()
    try:
        page.goto("/admin/operations")
        page.get_by_label("Only with this tag").fill(tag)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Tag them anew").click()
        page.get_by_role("button", name="Cancel it").click()
        expect(page.get_by_text("It ends at the next photo")).to_be_visible()
    finally:
        site.eye.latch.open()
    expect(page.locator("#progress")).to_contain_text("cancelled")


def test_a_tag_is_renamed_merged_and_given_rules(page: Page, boss: Somebody) -> None:
    own = uuid.uuid4().hex[:8]
    boss.keep(f"kitty {own}")
    boss.keep(f"moggy {own}")
    page.goto(f"/admin/tags?tag=kitty {own}")
    page.get_by_label("New name").fill(f"kitten {own}")
    page.get_by_role("button", name="Rename it").click()
    expect(page.get_by_text("The tag has its new name on all photos")).to_be_visible()
    page.get_by_label("Tags that go, with commas between").fill(f"moggy {own}")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Make them one").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("2 photos")
    page.get_by_label(re.compile("^Tags that hold wherever")).fill(f"beast {own}")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keep these rules").click()
    expect(page.get_by_text("The rules are kept.")).to_be_visible()
    entry = boss.client.related_tags(f"kitten {own}").tag
    assert set(entry.aliases) == {f"kitty {own}", f"moggy {own}"}
    assert entry.parents == (f"beast {own}",)


def test_the_model_is_tried_and_shows_where_the_time_went(page: Page) -> None:
    page.goto("/admin")
    expect(page.get_by_text("works", exact=True)).to_have_count(2)
    page.get_by_role("button", name="Tag the picture").click()
    expect(page.locator("#tried")).to_contain_text("inference")


def test_a_model_that_does_not_answer_is_seen_at_a_glance(page: Page, site: Site) -> None:
    site.eye.error = ModelUnavailable("the model is away on purpose", retry_after_s=1)
    try:
        page.goto("/admin")
    finally:
        site.eye.error = None
    tagging = page.locator(".answer").filter(has=page.get_by_role("heading", name="Tagging"))
    expect(tagging.get_by_text("does not work", exact=True)).to_be_visible()
    expect(tagging).to_contain_text("The model does not answer")
    expect(page.get_by_text("works", exact=True)).to_have_count(1)


def test_photos_are_tagged_anew_once_however_often_one_clicks(page: Page, boss: Somebody) -> None:
    before = {operation.id for operation in boss.client.operations()}
    page.goto("/admin/operations")
    page.get_by_label("Only of this account").fill(boss.name)
    page.get_by_label("Model that looks at them").select_option(label=boss.client.models().models[0].batch_refiners[0])
    page.get_by_role("button", name="Tag them anew").dblclick()
    expect(page).to_have_url(re.compile(r"/admin/operations/[\w-]"))
    assert len({operation.id for operation in boss.client.operations()} - before) == 1


def test_the_audit_log_is_narrowed_down(page: Page, boss: Somebody) -> None:
    boss.client.create_user(f"new-{uuid.uuid4().hex[:8]}", PASSWORD)
    page.goto("/admin/audit")
    page.get_by_label("By whom").fill(boss.name)
    page.get_by_label("What", exact=True).fill("user.")
    page.get_by_role("button", name="Show").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("user.create")


ADMIN_PAGES = (
    "", "/users", "/users/account?name=gallery", "/uploads", "/operations", "/tags", "/tags?tag=garden", "/models",
    "/audit",
)  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("path", ADMIN_PAGES)
def test_an_administrators_page_looks_as_it_should_and_everybody_can_use_it(
    page: Page, screenshots: Path, size: str, scheme: str, path: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"/admin{path}")
    name = "admin" + re.sub(r"\W+", "-", path)
    look_at(page, screenshots, name=name, size=size, scheme=scheme)

"""Uploading photos, in a browser: chosen, dropped, taken; what is seen meanwhile, and what goes wrong."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from browsing import Watch, photo_file
from playwright.sync_api import FilePayload, Locator, Page, expect
from servers import PASSWORD, Latch
from websites import MEADOW, ROSE, SKY, Site, Somebody, picture

from tagwright_client import Client
from tagwright_server.errors import ModelUnavailable

_DROPPED = """(files) => {
    const dropped = new DataTransfer();
    for (const { name, data } of files) {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        dropped.items.add(new File([bytes], name, { type: "image/jpeg" }));
    }
    return dropped;
}"""


def photo(name: str, seed: int, colour: tuple[int, int, int] = SKY) -> FilePayload:
    return photo_file(name, picture(seed, colour))


def choose(page: Page, *files: FilePayload) -> None:
    page.locator("#photos").set_input_files(list(files))


def state(page: Page) -> Locator:
    return page.locator("#upload-state")


def result(page: Page, name: str) -> Locator:
    return page.locator("#uploaded > li").filter(has=page.get_by_role("heading", name=name))


@pytest.fixture
def latch(site: Site) -> Iterator[Latch]:
    """Where photos wait to be looked at while it is closed."""
    yield site.eye.latch
    site.eye.latch.open()
    site.eye.error = None


def test_a_photo_that_is_chosen_is_kept_and_what_is_seen_in_it_is_shown(page: Page, ann: Somebody) -> None:
    page.goto("/upload")
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Choose photos").click()
    assert chooser.value.is_multiple()
    chooser.value.set_files([photo("holiday.jpg", 1, MEADOW)])
    card = result(page, "holiday.jpg")
    for tag in ("animals", "dog"):
        line = card.locator(".tag").filter(has=page.get_by_role("link", name=tag, exact=True))
        expect(line.locator(".score")).to_have_text("68 %")
        bar = line.locator("rect")
        assert 0.66 < float(bar.get_attribute("width") or 0) / 100 < 0.69
    expect(state(page)).to_contain_text("1 of 1 kept. Done.")
    expect(card.get_by_role("img", name=re.compile("^Photo"))).to_be_visible()
    [kept] = ann.client.images(owner=ann.name)
    assert (kept.file_name, kept.visibility) == ("holiday.jpg", "PRIVATE")
    card.get_by_role("link", name="Correct the tags").click()
    expect(page.get_by_role("heading", name="holiday.jpg")).to_be_visible()


def test_tags_that_one_gave_are_judged_with_their_reasons(page: Page, ann: Somebody) -> None:
    page.goto("/upload")
    page.get_by_label("Tags of your own").fill("sky, dog, mia's boat")
    page.get_by_label("Taken by").fill("Zoë")
    page.get_by_label("Everybody who signs in may see them").check()
    choose(page, photo("sea.jpg", 2))
    card = result(page, "sea.jpg")
    expect(card.get_by_role("heading", name="Kept")).to_be_visible()
    expect(card.get_by_role("heading", name="Removed")).to_be_visible()
    line = card.locator(".judged > li").filter(has=page.locator(".name").get_by_text("dog", exact=True))
    line.locator("summary").click()
    expect(line.locator(".reasons li").first).to_be_visible()
    [kept] = ann.client.images(owner=ann.name)
    assert (kept.author, kept.visibility) == ("Zoë", "SHARED")
    assert {"sky", "mia's boat"} <= {tag.name for tag in kept.tags}


def test_many_photos_are_dropped_at_once(page: Page, ann: Somebody) -> None:
    page.goto("/upload")
    names = [f"{number}.jpg" for number in range(7)]
    files = [{"name": name, "data": base64.b64encode(picture(n, ROSE)).decode()} for n, name in enumerate(names, 10)]
    drop = page.locator("#drop")
    dropped = page.evaluate_handle(_DROPPED, files)
    drop.dispatch_event("dragover", {"dataTransfer": dropped})
    expect(drop).to_have_class("drop over")
    drop.dispatch_event("drop", {"dataTransfer": dropped})
    expect(drop).to_have_class("drop")
    expect(state(page)).to_contain_text("7 of 7 kept. Done.")
    assert {image.file_name for image in ann.client.images(owner=ann.name)} == set(names)


def test_a_phone_takes_photos_with_its_camera(page: Page, ann: Somebody, size: str) -> None:
    page.goto("/upload")
    button, camera = page.get_by_text("Take a photo"), page.locator("#camera")
    if size == "desktop":
        expect(button).to_be_hidden()
        expect(camera).to_be_disabled()
        return
    assert camera.get_attribute("capture") == "environment"
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files([photo("image.jpg", 20)])
    expect(state(page)).to_contain_text("1 of 1 kept. Done.")
    assert len(list(ann.client.images(owner=ann.name))) == 1


def test_a_preview_and_progress_are_seen_until_the_photo_was_looked_at(page: Page, latch: Latch) -> None:
    page.goto("/upload")
    latch.close()
    choose(page, *(photo(f"{n}.jpg", n) for n in range(30, 35)))
    card = result(page, "30.jpg")
    expect(card.get_by_text("being looked at")).to_be_visible()
    expect(card.locator("img")).to_have_js_property("naturalWidth", 320)
    expect(card.get_by_role("progressbar", name="Sending 30.jpg")).to_be_visible()
    expect(result(page, "34.jpg").get_by_text("waiting")).to_be_visible()  # a few at a time
    expect(state(page)).to_contain_text("0 of 5 kept")
    latch.open()
    expect(state(page)).to_contain_text("5 of 5 kept. Done.")
    expect(card.get_by_role("progressbar")).to_have_count(0)


def test_sixty_previews_are_on_the_screen_at_most_and_later_photos_have_theirs(page: Page, latch: Latch) -> None:
    page.goto("/upload")
    latch.close()
    choose(page, *(photo(f"{n}.jpg", n) for n in range(200, 262)))
    previews = page.locator("#uploaded img[src^='blob:']")
    expect(state(page)).to_contain_text("0 of 62 kept")
    expect(previews).to_have_count(60)
    latch.open()
    expect(state(page)).to_contain_text("62 of 62 kept. Done.")
    latch.close()
    choose(page, photo("later.jpg", 262))
    expect(previews).to_have_count(1)


def test_a_photo_that_is_refused_does_not_keep_the_others_back(page: Page, ann: Somebody, watch: Watch) -> None:
    watch.expect("422 POST /upload/photo")
    page.goto("/upload")
    choose(page, photo("good.jpg", 40), photo_file("bad.jpg", b"no photo"), photo("fine.jpg", 41))
    expect(state(page)).to_contain_text("2 of 3 kept, 1 failed. Done.")
    expect(result(page, "bad.jpg").locator(".error")).to_contain_text("This photo was not taken")
    assert {image.file_name for image in ann.client.images(owner=ann.name)} == {"good.jpg", "fine.jpg"}


def test_what_failed_is_tried_again_when_one_says_so(
    page: Page, ann: Somebody, site: Site, latch: Latch, watch: Watch
) -> None:
    watch.expect("500 POST /upload/photo")
    page.goto("/upload")
    site.eye.error = RuntimeError("broken on purpose")
    choose(page, photo("once.jpg", 50), photo("more.jpg", 51))
    expect(state(page)).to_contain_text("0 of 2 kept, 2 failed. Done.")
    expect(result(page, "once.jpg").locator(".error")).to_contain_text("Something went wrong")
    site.eye.error = None
    page.get_by_role("button", name="Try those that failed again").click()
    expect(state(page)).to_contain_text("2 of 2 kept. Done.")
    assert len(list(ann.client.images(owner=ann.name))) == 2


def test_an_upload_waits_while_the_pages_are_away(page: Page, ann: Somebody, watch: Watch) -> None:
    watch.expect("net::ERR_INTERNET_DISCONNECTED")
    page.clock.install()
    page.goto("/upload")
    page.context.set_offline(True)
    choose(page, photo("patient.jpg", 55))
    for seconds in (2, 4, 8, 16, 30, 30, 30, 30, 30, 30):  # however long: it is not the photo's fault
        expect(state(page)).to_contain_text(f"0 of 1 kept. The pages cannot be reached. Once more in {seconds} s.")
        page.clock.run_for(seconds * 1000)
    page.context.set_offline(False)
    page.clock.run_for(30_000)
    expect(state(page)).to_contain_text("1 of 1 kept. Done.")
    assert len(list(ann.client.images(owner=ann.name))) == 1


def test_an_upload_waits_while_the_model_is_away(
    page: Page, ann: Somebody, site: Site, latch: Latch, watch: Watch
) -> None:
    watch.expect("503 POST /upload/photo")
    page.clock.install()
    page.goto("/upload")
    site.eye.error = ModelUnavailable("away on purpose", retry_after_s=1)
    choose(page, *(photo(f"{n}.jpg", n) for n in range(100, 106)))
    for _ in range(12):
        expect(state(page)).to_contain_text("0 of 6 kept. The model does not answer")
        page.clock.run_for(30_000)
    site.eye.error = None
    page.clock.run_for(30_000)
    expect(state(page)).to_contain_text("6 of 6 kept. Done.")
    assert len(list(ann.client.images(owner=ann.name))) == 6


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(page: Page, ann: Somebody, latch: Latch) -> None:
    page.clock.install()
    page.goto("/upload")
    latch.close()
    choose(page, photo("late.jpg", 110))
    latch.await_arrivals()
    page.clock.run_for(180_000)
    expect(state(page)).to_contain_text("That took too long. Once more in 2 s.")
    latch.open()
    page.clock.run_for(2_000)
    expect(state(page)).to_contain_text("1 of 1 kept. Done.")
    assert len(list(ann.client.images(owner=ann.name))) == 1


def test_what_is_filled_in_holds_for_the_photos_that_are_added_then(page: Page, ann: Somebody, latch: Latch) -> None:
    page.goto("/upload")
    latch.close()
    page.get_by_label("Tags of your own").fill("early")
    choose(page, *(photo(f"early {n}.jpg", n) for n in range(120, 125)))
    expect(state(page)).to_contain_text("0 of 5 kept")
    page.get_by_label("Tags of your own").fill("late")
    page.get_by_label("Everybody who signs in may see them").check()
    choose(page, photo("late.jpg", 125))
    latch.open()
    expect(state(page)).to_contain_text("6 of 6 kept. Done.")
    for image in ann.client.images(owner=ann.name):
        name = image.file_name.split()[0].removesuffix(".jpg")
        assert image.visibility == {"early": "PRIVATE", "late": "SHARED"}[name]
        assert {tag.name for tag in image.tags} & {"early", "late"} == {name}


def test_photos_wait_for_somebody_whose_session_ends_in_the_middle(
    page: Page, ann: Somebody, site: Site, latch: Latch, watch: Watch
) -> None:
    watch.expect("401 POST /upload/photo")
    page.goto("/upload")
    latch.close()
    choose(page, *(photo(f"{n}.jpg", n) for n in range(60, 66)))
    latch.await_arrivals(3)
    with Client.connect(f"grpc://{site.app.address}", token=ann.token) as client:
        client.logout()
    latch.open()
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("Your session has ended. The photos that are left wait here.")
    assert "failed" not in state(page).inner_text()
    with page.expect_popup() as opened:
        notice.get_by_role("link", name="Sign in again in another tab").click()
    tab = opened.value
    tab.get_by_label("Name").fill(ann.name)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("heading", name="Latest")).to_be_visible()
    notice.get_by_role("button", name="Go on").click()
    expect(state(page)).to_contain_text("6 of 6 kept. Done.")
    assert sorted(image.file_name for image in ann.client.images(owner=ann.name)) == [f"{n}.jpg" for n in range(60, 66)]


def test_a_photo_that_is_stored_already_is_not_kept_twice(page: Page, ann: Somebody) -> None:
    ann.keep(data=picture(70), file_name="first.jpg")
    page.goto("/upload")
    choose(page, photo("again.jpg", 70))
    expect(result(page, "again.jpg")).to_contain_text("You had stored this photo before")
    assert len(list(ann.client.images(owner=ann.name))) == 1


def test_one_is_asked_before_one_leaves_photos_that_are_under_way(page: Page, latch: Latch) -> None:
    page.goto("/upload")
    latch.close()
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Choose photos").click()
    chooser.value.set_files([photo("slow.jpg", 80)])
    latch.await_arrivals()
    with page.context.expect_event("dialog") as asked:
        page.get_by_role("link", name="My photos").click()
    assert asked.value.type == "beforeunload"


def test_photos_are_chosen_and_tagged_with_keys_alone(page: Page, ann: Somebody) -> None:
    page.goto("/upload")
    chosen = page.locator("#photos")
    chosen.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(chosen).to_be_focused()
    outline = "getComputedStyle(document.querySelector('#drop .soft')).outlineStyle"
    assert page.evaluate(outline) == "solid"  # one sees where one is
    page.get_by_label("Tags of your own").focus()
    page.keyboard.type("boat, gard")
    completion = page.get_by_role("listbox", name="Tags").get_by_role("option", name="garden")
    expect(completion).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(completion).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Tags of your own")).to_have_value("boat, garden")
    chosen.focus()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files([photo("keys.jpg", 90)])
    expect(state(page)).to_contain_text("1 of 1 kept. Done.")
    [kept] = ann.client.images(owner=ann.name)
    assert {"boat", "garden"} <= {tag.name for tag in kept.tags}

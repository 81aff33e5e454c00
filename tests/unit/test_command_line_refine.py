"""The command `refine`: which tags are judged, what people and programs see, and what is put right of kept photos."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kept_photos
import photos
import pytest
from kept_photos import MODEL, KeptPhotos, run, tag
from PIL import Image

from tagwright_admin import connection, embedded
from tagwright_client import (
    ArgumentInvalid,
    Evidence,
    ImageRejected,
    NotFound,
    Overloaded,
    Refinement,
    ScopeMissing,
    ServerUnreachable,
    TagDecision,
    TagwrightError,
    Timings,
    TokenInvalid,
)
from tagwright_server.images import metadata

ONE, TWO, NOBODY = f"{1:032x}", f"{2:032x}", "f" * 32
TYPED = {"car": ("REMOVE", 0.125), "nikon": ("UNSURE", None)}  # the others are kept


@dataclass
class Refining(KeptPhotos):
    """A server that adds "sky" to every photo, and that knows a car where there is none."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    error: TagwrightError | None = None

    def refine(
        self, photo: bytes | None = None, *, image_id: str | None = None, user_tags: Iterable[str] = (), **options: Any
    ) -> Refinement:
        self.asked.append({"photo": photo, "image_id": image_id, "user_tags": tuple(user_tags), **options})
        if self.error is not None:
            raise self.error
        if photo is not None and photo.startswith(b"!"):
            raise ImageRejected(f"the photo is {photo[1:].decode()}", code="INVALID_ARGUMENT")
        names = tuple(user_tags)
        if image_id is not None and not names:
            names = tuple(each.name for each in self.image(image_id).tags if each.source == "USER")
        judged = [decision(name, *TYPED.get(name, ("KEEP", 0.75))) for name in names]
        return Refinement((*judged, decision("sky", "ADD", 0.875)), MODEL, 23_010, (), Timings(1.0, 2.0, 3.0, 12.4))


def decision(name: str, word: str, score: float | None) -> TagDecision:
    why = Evidence("NEIGHBOURS", f"{name}: few look\x1b[31m alike", 0.5, None, ("a",), ("b",))
    return TagDecision(name, score, word, (why, Evidence("USER_TAG", f"{name}: the owner says so", 1.0, None)))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refining:
    kept_photos.signed_in(tmp_path, monkeypatch)
    fake = Refining()
    fake.keep(b"one", tag("car", source="USER"), tag("dog", source="USER"), tag("tree"))
    fake.keep(b"two", tag("nikon", score=None, source="USER"))
    monkeypatch.setattr(connection, "open_client", lambda *given, **named: fake)
    return fake


@pytest.fixture
def photo() -> Path:
    Path("a.jpg").write_bytes(b"dog")
    return Path("a.jpg")


def test_each_tag_is_a_line_with_what_to_do_how_sure_and_the_first_reason(server: Refining, photo: Path) -> None:
    done = run("refine", photo, "--tags", "Dog,  car , nikon,dog")
    assert (done.code, done.stderr) == (0, "")
    assert server.asked[0]["photo"] == b"dog"
    assert server.asked[0]["user_tags"] == ("Dog", "car", "nikon")
    heading, *rows = done.stdout.splitlines()
    assert heading == f"{photo.absolute()}  fake@1, 23,010 photos could vote, 12 ms"
    assert [re.split(" {2,}", row.strip())[:2] for row in rows] == [
        ["Dog", "keep"],
        ["car", "remove"],
        ["nikon", "unsure"],
        ["sky", "add"],
    ]
    assert [re.search(r"\d\.\d\d", row) is not None for row in rows] == [True, True, False, True]
    assert r"car: few look\x1b[31m alike" in rows[1]
    assert "the owner says so" not in done.stdout
    assert "nikon: the owner says so" in run("refine", photo, "--tags=nikon", "-v").stdout


def test_programs_get_a_line_a_photo_with_all_reasons(server: Refining, photo: Path) -> None:
    Path("b.jpg").write_bytes(b"!truncated")
    done = run("refine", photo, "b.jpg", "--tags=car", "--json")
    assert done.code == 1
    good, bad = done.lines
    assert set(good) == {
        "photo", "user_tags", "tags_left_out", "problems", "decisions", "model_version", "library_size", "timings",
    }  # fmt: skip
    assert good["decisions"][0] == {
        "name": "car",
        "score": 0.125,
        "decision": "REMOVE",
        "evidence": [
            {
                "kind": "NEIGHBOURS", "text": "car: few look\x1b[31m alike", "value": 0.5, "threshold": None,
                "image_ids": ["a"], "tags": ["b"],
            },
            {
                "kind": "USER_TAG", "text": "car: the owner says so", "value": 1.0, "threshold": None,
                "image_ids": [], "tags": [],
            },
        ],
    }  # fmt: skip
    assert (good["photo"], good["library_size"]) == (str(photo.absolute()), 23_010)
    assert (good["timings"]["refinement_ms"], good["timings"]["total_ms"]) == (None, 12.4)
    assert (bad["photo"], bad["error"]["reason"]) == (str(Path("b.jpg").absolute()), "IMAGE_REJECTED")


def test_without_tags_those_beside_the_photo_and_in_it_are_judged(server: Refining) -> None:
    Path("p").mkdir()
    Path("p/a.jpg").write_bytes(photos.jpeg(extra=photos.iptc(b"boat"), xmp=photos.xmp("sea", "dog")))
    Path("p/a.txt").write_text("Dog, car\n")

    def judged(*options: str) -> tuple[str, ...]:
        assert run("refine", "p", *options).code == 0
        tags: tuple[str, ...] = server.asked[-1]["user_tags"]
        return tags

    assert judged() == ("Dog", "car", "boat", "sea")
    assert judged("--no-sidecars") == ("boat", "sea", "dog")
    assert judged("--no-embedded-tags") == ("Dog", "car")
    assert judged("--tags", "") == ()


def test_a_sidecar_that_cannot_be_read_and_tags_that_no_server_takes_are_told(server: Refining, photo: Path) -> None:
    Path("a.json").write_text("[")
    Path("a.txt").write_text(f"dog, {'x' * 129}")
    done = run("refine", photo)
    assert (done.code, server.asked[0]["user_tags"]) == (1, ("dog",))
    assert "a.json: it is no JSON" in done.stderr
    assert "1 tag that no server takes was left out" in done.stderr
    (line,) = run("refine", photo, "--json").lines
    assert (line["tags_left_out"], len(line["problems"])) == (1, 1)


def test_options_go_to_the_server(server: Refining, photo: Path) -> None:
    run(
        "refine", photo, "--target-precision=0.9", "--min-score=0.5", "--max-tags=3", "--model=m@1", "--include=cat",
        "--exclude=sea", "--timeout=5",
    )  # fmt: skip
    assert server.asked == [
        {
            "photo": b"dog", "image_id": None, "user_tags": (), "target_precision": 0.9, "min_score": 0.5,
            "max_tags": 3, "include_tags": ["cat"], "exclude_tags": ["sea"], "model": "m@1", "timeout_s": 5.0,
        }
    ]  # fmt: skip


def test_a_kept_photo_is_named_and_nothing_is_changed_unasked(server: Refining) -> None:
    before = dict(server.kept)
    done = run("refine", "--id", ONE, "--id", TWO, "--json")
    assert done.code == 0
    one, two = done.lines
    assert [each["decision"] for each in one["decisions"]] == ["REMOVE", "KEEP", "ADD"]
    assert (one["id"], two["id"]) == (ONE, TWO)
    assert "applied" not in one
    assert server.kept == before
    assert run("refine", "--id", ONE, "--tags=nikon", "--json").lines[0]["user_tags"] == ["nikon"]


def test_what_is_wrong_is_rejected_and_what_is_missing_suggested(server: Refining) -> None:
    done = run("refine", "--id", ONE, "--apply", "--yes", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert done.lines[0]["applied"] == {"reject": ["car"], "suggest": [{"name": "sky", "score": 0.875}]}
    tags = {each.name: (each.state, each.score) for each in server.kept[ONE].tags}
    assert tags == {
        "car": ("REJECTED", 0.75), "dog": ("SUGGESTED", 0.75), "sky": ("SUGGESTED", 0.875), "tree": ("SUGGESTED", 0.75),
    }  # fmt: skip
    assert "1 tag suggested" in run("refine", "--id", TWO, "--apply", "-y").stdout


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("no\n", 1)])
def test_on_a_terminal_people_are_asked_first(
    server: Refining, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("tagwright_admin.prompts.on_terminal", lambda: True)
    before = dict(server.kept)
    done = run("refine", "--id", ONE, "--apply", stdin=answer)
    assert f"Reject car and suggest sky for photo {ONE} at grpc://fake:8470? [y/N]: " in done.stderr
    assert (done.code, server.kept == before) == (code, code != 0)
    assert ("1 tag rejected, 1 tag suggested" in done.stdout) == (code == 0)


def test_where_there_is_nothing_to_put_right_nobody_is_asked(server: Refining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagwright_admin.prompts.on_terminal", lambda: True)
    nothing = Refinement((decision("dog", "KEEP", 0.75),), MODEL, 3, (), Timings(None, None, None, 1.0))
    monkeypatch.setattr(server, "refine", lambda **asked: nothing)
    done = run("refine", "--id", ONE, "--apply")
    assert (done.code, done.stderr) == (0, "")
    assert "nothing to write" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name photos"),
        (["a.jpg", "--id", ONE], "not both"),
        (["--id="], "--id is empty"),
        (["a.jpg", "--apply"], "name them by --id"),
        (["a.jpg", "--yes"], "--apply"),
        (["--id", ONE, "--apply"], "say --yes"),  # no terminal to ask on
        (["--id", ONE, "--apply", "--yes", "--tags=dog"], "leave --tags out"),
        (["a.jpg", "--tags=dog," + "x" * 129], "1 of 2 cannot be tags"),
        (["a.jpg", "--tags", ",".join(map(str, range(300)))], "44 of 300 cannot be tags"),
        (["a.jpg", "--tags=a\x07b"], "no control characters"),
        (["missing.jpg"], "there is no missing.jpg"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_one_line_and_nothing_is_asked(
    server: Refining, photo: Path, arguments: list[str], told: str
) -> None:
    done = run("refine", *arguments)
    assert (done.code, done.stdout, server.asked) == (2, "", [])
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["--target-precision=2", "--min-score=-1", "--max-tags=0", "--timeout=0"])
def test_an_option_out_of_its_range_is_refused(server: Refining, photo: Path, option: str) -> None:
    assert run("refine", photo, option).code == 2
    assert server.asked == []


def test_one_photo_that_fails_leaves_the_others_be(server: Refining, photo: Path) -> None:
    Path("b.jpg").write_bytes(b"!truncated")
    done = run("refine", "b.jpg", photo, "--tags=dog")
    assert (done.code, len(server.asked)) == (1, 2)
    assert "the photo is truncated" in done.stderr
    assert str(photo.absolute()) in done.stdout
    absent = run("refine", "--id", NOBODY, "--id", ONE, "--json")
    assert (absent.code, [line["id"] for line in absent.lines]) == (2, [NOBODY, ONE])
    assert absent.lines[0]["error"]["reason"] == "NOT_FOUND"


def test_a_photo_that_cannot_be_read_and_a_folder_without_any_are_told(
    server: Refining, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("empty").mkdir()
    done = run("refine", "empty", photo)
    assert (done.code, len(server.asked)) == (1, 1)
    assert "no photos there" in done.stderr

    def unreadable(*given: object, **named: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("tagwright_admin.refine_run._bytes", unreadable)
    done = run("refine", photo)
    assert (done.code, done.stderr) == (1, f"{photo.absolute()}: cannot read the photo: Input/output error\n")
    assert run("refine", photo, "--json").lines[0]["error"]["reason"] == "PHOTO_UNREADABLE"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ArgumentInvalid("the model m@1 has no refiner", code="INVALID_ARGUMENT"), 2, "has no refiner"),
        (NotFound("no such model", code="NOT_FOUND"), 2, "no such model"),
        (ScopeMissing("this takes tagging:read", code="PERMISSION_DENIED"), 1, "tagging:read"),
        (TokenInvalid("no", code="UNAUTHENTICATED"), 1, "Sign in first"),
        (ServerUnreachable("nobody"), 1, "No server at"),
    ],
)
def test_what_befalls_every_photo_is_told_once(
    server: Refining, photo: Path, error: TagwrightError, code: int, told: str
) -> None:
    server.error = error
    done = run("refine", photo, photo, "--tags=dog")
    assert (done.code, len(server.asked), len(done.stderr.splitlines())) == (code, 1, 1)
    assert told in done.stderr


def test_a_server_that_has_too_much_to_do_is_told_for_each_photo(server: Refining, photo: Path) -> None:
    server.error = Overloaded("too much at once", code="RESOURCE_EXHAUSTED")
    done = run("refine", photo, photo, "--tags=dog", "--json")
    assert (done.code, len(done.lines)) == (1, 2)


def test_ctrl_c_ends_it_and_says_how_far_it_was(server: Refining, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "refine", interrupt)
    done = run("refine", photo)
    assert (done.code, done.stderr) == (130, "interrupted: 0 photos judged\n")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_keywords_in_a_photo_are_those_that_the_server_would_take(kind: str) -> None:
    packet = photos.xmp("sea", " big  waves ", "été", "海", "R&amp;B", "sea")
    data = photos.encoded(photos.scene(), kind, **({} if kind == "PNG" else {"xmp": packet}))
    if kind == "PNG":
        chunk = photos.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
        data = data[:33] + chunk + data[33:]  # behind the header
    with Image.open(io.BytesIO(data)) as picture:
        taken = metadata.keywords(picture)
    assert embedded.keywords(data) == [" ".join(word.split()) for word in taken]
    assert len(taken) == 5


def test_the_keywords_of_iptc_come_first_and_those_of_a_packed_png_as_well() -> None:
    block = photos.iptc(b"dog", "Größe".encode(), "café".encode("latin-1"), b"dog", b"night\0")
    data = photos.jpeg(extra=block, xmp=photos.xmp("sea", "dog"))
    with Image.open(io.BytesIO(data)) as picture:
        assert tuple(embedded.keywords(data)) == metadata.keywords(picture) == ("dog", "Größe", "café", "night", "sea")
    packed = photos.encoded(photos.scene(), "PNG", pnginfo=photos.png_info("sea"))
    assert embedded.keywords(packed) == ["sea"]


def test_whatever_a_photo_is_reading_its_keywords_raises_nothing() -> None:
    data = photos.jpeg(extra=photos.iptc(b"dog", b"sea"), xmp=photos.xmp("sky"))
    kinds = [data, photos.encoded(photos.scene(), "PNG", pnginfo=photos.png_info("sea"))]
    kinds.append(photos.encoded(photos.scene(), "WEBP", xmp=photos.xmp("sky")))
    for whole in kinds:
        for end in range(0, min(len(whole), 1500)):
            embedded.keywords(whole[:end])
            embedded.keywords(whole[:end] + b"\xff" + whole[end + 1 :])
            embedded.keywords(whole[:end] + b"\0" + whole[end + 1 :])
    for head in (b"", b"\xff\xd8" * 9, b"\xff\xd8" + b"\xff" * 9, b"RIFF\0\0\0\0WEBPXMP \xff\xff\xff\xff", b"\x89PNG"):
        assert embedded.keywords(head) == []

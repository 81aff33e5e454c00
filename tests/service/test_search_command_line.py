"""`tagwright search`, `similar`, `related`, `suggest` against a real server, from uploads to a page of thumbnails."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import photos
import pytest
from PIL import Image
from servers import running
from terminals import converse
from typer.testing import CliRunner

from tagwright_admin.commands import app

TYPED = {"poodle.jpg": "poodle, park", "again.jpg": "poodle", "beach.jpg": "sea, beach", "spaniel.jpg": "spaniel, sea"}


@pytest.fixture(scope="module")
def served(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server with four photos, two of which look the same; the environment in which commands talk to it."""
    folder = tmp_path_factory.mktemp("photos")
    for seed, (name, tags) in enumerate(TYPED.items()):
        (folder / name).write_bytes(picture(seed))
        (folder / name).with_suffix(".txt").write_text(tags)
    with Image.open(folder / "poodle.jpg") as photo:
        photo.resize((160, 120)).save(folder / "again.jpg", quality=80)
    with running(repository, decode_workers=1) as server:
        home = tmp_path_factory.mktemp("home")
        environment = {
            "TAGWRIGHT_URL": f"grpc://{server.app.address}",
            "TAGWRIGHT_TOKEN": server.token,
            "TAGWRIGHT_CONFIG_DIR": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "STRANGER": server.sign_in("eve"),
        }
        told(environment, "upload", "--no-journal", str(folder))
        told(environment, "tags", "rules", "poodle", "--parent", "dog")
        told(environment, "tags", "rules", "spaniel", "--parent", "dog", "--alias", "water dog")
        yield environment


def picture(seed: int) -> bytes:
    """A photo that looks like no other one."""
    return photos.encoded(photos.texture(200, 150, seed), "JPEG", quality=90)


def told(environment: dict[str, str], *words: str, code: int = 0) -> str:
    """Run a command; return what it wrote on standard output, or on standard error if it has to fail."""
    done = CliRunner().invoke(app, words, env=environment)
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def lines(environment: dict[str, str], *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told(environment, *words, "--json").splitlines()]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [each["file_name"] for each in found]


def test_photos_are_found_by_a_tag_above_theirs_and_it_is_said_why(served: dict[str, str]) -> None:
    shown = told(served, "search", "dog & !sea", "--why", "--facets")
    assert shown.startswith("2 photos  dog & !sea  ")
    assert "poodle, which is a kind of dog; its owner's tag number 1" in shown
    assert re.search(r"^park +█+ +1$", shown, re.MULTILINE)
    assert "spaniel" not in shown
    about, *found = lines(served, "search", '"water dog" | beach', "--facets", "--why")
    assert (about["total_count"], about["understood_query"]) == (2, "spaniel | beach")
    assert {"tag": "sea", "count": 2} in about["facets"]
    assert sorted(names(found)) == ["beach.jpg", "spaniel.jpg"]
    assert found[0]["matches"][0]["tag"]["evidence"][0]["kind"] == "USER_TAG"


def test_photos_that_look_the_same_are_put_together_or_marked(served: dict[str, str]) -> None:
    varied = lines(served, "search", "dog", "--ranking=diverse")
    assert len(varied) == 2
    (first,) = [each for each in varied if each["collapsed_ids"]]
    (same,) = [each for each in lines(served, "similar", first["id"]) if each["near_duplicate"]]
    assert [same["id"]] == first["collapsed_ids"]
    assert "looks the same" in told(served, "similar", first["id"])
    assert {first["file_name"], same["file_name"]} == {"poodle.jpg", "again.jpg"}


def test_photos_are_found_by_their_look(served: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "example.jpg").write_bytes(picture(2))
    found = lines(served, "search", "--like", str(tmp_path / "example.jpg"))
    assert (len(found), found[0]["file_name"]) == (4, "beach.jpg")
    assert found[0]["score"] == pytest.approx(1.0, abs=1e-3)
    assert names(lines(served, "search", "sea", "--like-id", found[0]["id"])) == ["spaniel.jpg"]
    assert names(lines(served, "search", "--ranking=newest"))[0] == names(lines(served, "ls"))[0]


def test_tags_are_completed_and_related_ones_found(served: dict[str, str]) -> None:
    assert lines(served, "suggest", "poo")[0]["name"] == "poodle"
    (mistyped,) = lines(served, "suggest", "spanel")
    assert (mistyped["name"], mistyped["typing_errors"]) == ("spaniel", 1)
    together = {each["name"]: each for each in lines(served, "related", "sea")}
    assert (together["beach"]["both_count"], together["spaniel"]["both_count"]) == (1, 1)
    assert told(served, "related", "sea").startswith("sea  2 photos\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["search", "dog & )"], 2, "  dog & )\n        ^\n"),
        (["search", "dog & ("], 2, "  dog & (\n         ^\n"),
        (["search", "--like-id", "f" * 32], 2, "no such photo"),
        (["search", "--like", __file__], 1, f"{os.path.basename(__file__)}: "),
        (["search", "--like", __file__, "--ranking=newest"], 2, "ranking"),
        (["similar", "no id"], 2, "no such photo"),
        (["related", "unicorn"], 2, "no photo that you see"),
    ],
)
def test_what_the_server_refuses_is_told(served: dict[str, str], words: list[str], code: int, said: str) -> None:
    assert said in told(served, *words, code=code)


def test_what_others_keep_to_themselves_is_not_found(served: dict[str, str]) -> None:
    eve = {**served, "TAGWRIGHT_TOKEN": served["STRANGER"]}
    assert told(eve, "search").startswith("no photo  all  ")
    assert lines(eve, "suggest", "poo") == []
    id = lines(served, "ls", "--limit=1")[0]["id"]
    told(eve, "similar", id, code=2)
    told(eve, "related", "sea", code=2)


def test_a_page_holds_the_thumbnails_themselves(served: dict[str, str], tmp_path: Path) -> None:
    told(served, "search", "dog", "--html", str(tmp_path / "dogs.html"))
    page = (tmp_path / "dogs.html").read_text()
    pictures = re.findall('src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(pictures) == 3
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as photo:
            assert (photo.format, max(photo.size) <= 384) == ("JPEG", True)
    assert "<strong>poodle</strong>, which is a kind of dog" in page


def test_a_terminal_that_can_shows_them_at_once(served: dict[str, str]) -> None:
    environment = {**os.environ, **served, "TERM_PROGRAM": "WezTerm", "TMUX": "", "NO_COLOR": "1"}
    shown, code = converse(["search", "dog", "--thumbnails"], [], env=environment)
    assert code == 0
    pictures = re.findall(r"\x1b\]1337;File=inline=1;[^:]*:([A-Za-z0-9+/=]+)\x07", shown)
    assert len(pictures) == 3
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as photo:
        assert photo.format == "JPEG"
    assert "poodle.jpg" in shown

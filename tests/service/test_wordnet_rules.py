"""`tagwright tags wordnet` against a real server: what it proposes is taken, and is there afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_wordnet
from people import CONFIRMED, SUGGESTED, Person, administrator, person, unique
from servers import Running
from typer.testing import CliRunner

from tagwright.v1 import tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_admin.commands import app


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("TAGWRIGHT_CA_FILE", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_wordnet.write(tmp_path / "wordnet")


def tagwright(who: Person, folder: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the command as somebody; return its exit code and what programs read."""
    environment = {"TAGWRIGHT_URL": f"grpc://{who.server.app.address}", "TAGWRIGHT_TOKEN": who.token}
    command = ["tags", "wordnet", f"--folder={folder}", "--json", "--min-photos=1", *words]
    done = CliRunner().invoke(app, command, env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def vocabulary(who: Person) -> dict[str, tag_pb2.TagEntry]:
    answer: pb.ListTagsResponse = who.ListTags(pb.ListTagsRequest(page_size=500))
    return {tag.name: tag for tag in answer.tags}


def test_what_is_proposed_is_applied_once_and_photos_follow(stored: Running, folder: Path) -> None:
    ann, admin = person(stored), administrator(stored)
    many = [ann.store(unique(20), "dog", "Puppies").image_id for _ in range(2)]
    both = ann.store(unique(20), "Dogs", "puppy", "animal", "Blue Sky", "🐕", "geese").image_id
    ann.review(both, confirm=["dogs"])
    admin.SetTagRules(pb.SetTagRulesRequest(name="dog", aliases=["hound"], parents=["friend"]))

    code, proposed = tagwright(ann, folder)
    assert code == 0
    told = {line["name"]: (line["aliases_added"], line["parents_added"]) for line in proposed}
    assert told == {
        "animals": (["animal"], []),  # a label of the model, which no photo has
        "blue sky": ([], ["sky"]),
        "dog": (["dogs"], ["animals"]),
        "geese": ([], ["animals"]),
        "puppies": (["puppy"], ["dog"]),
    }

    code, lines = tagwright(ann, folder, "--apply", "--yes")
    assert (code, lines) == (1, [])  # rules are for administrators
    code, lines = tagwright(admin, folder, "--apply", "--yes")
    assert code == 0, lines
    assert all(line["applied"] for line in lines)
    there = vocabulary(admin)
    assert (list(there["dog"].aliases), list(there["dog"].parents)) == (["dogs", "hound"], ["animals", "friend"])
    assert (list(there["puppies"].aliases), list(there["puppies"].parents)) == (["puppy"], ["dog"])
    assert list(there["animals"].aliases) == ["animal"]
    assert list(there["geese"].parents) == ["animals"]
    assert ann.states(both) == {
        "dog": CONFIRMED,
        **dict.fromkeys(("puppies", "animals", "blue sky", "🐕", "geese"), SUGGESTED),
    }
    assert ann.states(many[0]) == {"dog": SUGGESTED, "puppies": SUGGESTED}
    assert tagwright(admin, folder) == (0, [])


def test_without_any_photo_the_models_labels_are_related(stored: Running, folder: Path) -> None:
    admin = administrator(stored)
    for words in ((), ("--apply", "--yes")):
        code, lines = tagwright(admin, folder, *words)
        assert (code, [(line["name"], line["parents_added"]) for line in lines]) == (0, [("dog", ["animals"])])
    assert list(vocabulary(admin)["dog"].parents) == ["animals"]
    assert tagwright(admin, folder) == (0, [])

"""The command `import`: what is no change is neither counted nor said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kept_photos
import pytest
from kept_photos import Done, KeptPhotos, run, tag

from tagwright_client import TagEntry

ONE = f"{1:032x}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    fake = kept_photos.signed_in(tmp_path, monkeypatch)
    fake.keep(b"one", tag("sea", score=0.4), tag("typed", score=None, source="USER"), tag("old", source="IMPORT"))
    return fake


def given(*tags: dict[str, Any]) -> None:
    Path("tags.jsonl").write_text(json.dumps({"id": ONE, "tags": list(tags)}))


def suggested(name: str, score: float | None) -> dict[str, Any]:
    return {"name": name, "state": "SUGGESTED", "score": score}


def changed(done: Done, title: str = "changed") -> bool:
    assert done.code == 0
    return done.count(title) != "0"


def reviews(server: KeptPhotos) -> int:
    return [call for call, _ in server.calls].count("review")


def test_a_suggestion_of_what_is_there_is_no_change_whoever_gave_it(server: KeptPhotos) -> None:
    given(suggested("SEA", 0.9), suggested("typed", 0.9), suggested("old", 0.75))
    assert not changed(run("import", "tags.jsonl", "--dry-run"), "would change")
    assert not changed(run("import", "tags.jsonl"))
    assert reviews(server) == 0


@pytest.mark.parametrize("score", [0.5, None])
def test_an_imported_suggestion_gets_the_score_of_a_later_import_once(server: KeptPhotos, score: float | None) -> None:
    given(suggested("old", score), {"name": "new", "state": "CONFIRMED"})
    trial, done = run("import", "tags.jsonl", "--dry-run"), run("import", "tags.jsonl")
    assert (trial.count("would change"), done.count("changed")) == ("1", "1")
    for title in ("tags added", "tags suggested"):
        assert trial.count(title) == done.count(title) == "1"
    assert not changed(run("import", "tags.jsonl"))
    assert reviews(server) == 1


def test_an_alias_is_the_tag_that_it_stands_for(server: KeptPhotos) -> None:
    server.entries["sea"] = TagEntry("sea", ("ocean",), (), 1, 0)
    given(suggested("Ocean", 0.9))
    assert not changed(run("import", "tags.jsonl"))
    given({"name": "ocean", "state": "CONFIRMED"}, suggested("sea", 0.1))
    assert run("import", "tags.jsonl", "--dry-run", "--json").lines[0]["confirm"] == ["ocean"]

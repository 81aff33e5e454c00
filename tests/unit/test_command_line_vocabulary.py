"""The commands about tags by themselves, and about work in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kept_photos
import pytest
from kept_photos import KeptPhotos, operation, run

from tagwright_client import (
    ArgumentInvalid,
    FieldViolation,
    ImageFailure,
    ImageRejected,
    InternalError,
    Operation,
    ServerUnreachable,
    TagEntry,
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    fake = kept_photos.signed_in(tmp_path, monkeypatch)
    fake.entries = {
        "dog": TagEntry("dog", ("hound", "rex\x07"), ("animal",), 1200, 7),
        "dog house": TagEntry("dog house", (), (), 1, 0),
        "rename": TagEntry("rename", (), (), 1, 0),
    }
    return fake


def test_tags_are_a_table_for_people_and_lines_for_programs(server: KeptPhotos) -> None:
    for arguments in (["tags"], ["tags", "list"], ["tags", "list", "do", "--by-count"], ["tags", "--by-count", "do"]):
        done = run(*arguments)
        assert (done.code, done.stderr) == (0, "")
        first = done.stdout.splitlines()[1]
        for part in ("dog", "1,200", "7", r"hound, rex\x07", "animal"):
            assert part in first
    assert server.calls[-1] == ("tags", {"prefix": "do", "order": "COUNT"})
    assert server.calls[0] == ("tags", {"prefix": "", "order": "NAME"})
    assert run("tags", "dog h", "--json").lines == [
        {"name": "dog house", "aliases": [], "parents": [], "image_count": 1, "confirmed_count": 0}
    ]
    assert [line["name"] for line in run("tags", "list", "rename", "--json").lines] == ["rename"]


def test_tags_are_renamed_and_merged(server: KeptPhotos) -> None:
    assert run("tags", "rename", "dog", "hound", "--json").lines[0]["name"] == "hound"
    assert run("tags", "merge", "dogs", "hounds", "--into", "dog").code == 0
    assert server.calls == [
        ("rename_tag", {"name": "dog", "new_name": "hound"}),
        ("merge_tags", {"sources": ["dogs", "hounds"], "target": "dog"}),
    ]


def test_rules_are_added_and_taken_away_and_what_is_not_named_stays(server: KeptPhotos) -> None:
    assert run("tags", "rules", " DOG ", "--json").lines[0]["parents"] == ["animal"]
    done = run("tags", "rules", "dog", "--alias= Hund ", "--alias=perro", "--alias=hound")
    assert server.entries["dog"] == TagEntry("dog", ("hound", "rex\x07", "hund", "perro"), ("animal",), 0, 0)
    assert done.stdout.splitlines()[0] == "alias added: hund, perro"
    done = run("tags", "rules", "dog", "--remove-alias=HOUND", "--alias=chien", "--parent=pet")
    assert server.entries["dog"] == TagEntry("dog", ("rex\x07", "hund", "perro", "chien"), ("animal", "pet"), 0, 0)
    assert done.stdout.splitlines()[:3] == ["alias added: chien", "alias taken away: hound", "parent added: pet"]
    done = run("tags", "rules", "dog", "--no-aliases", "--remove-parent=animal", "--json")
    assert server.entries["dog"] == TagEntry("dog", (), ("pet",), 0, 0)
    assert done.lines[0]["aliases_removed"] == ["rex\x07", "hund", "perro", "chien"]
    assert (done.lines[0]["parents_removed"], done.lines[0]["parents_added"]) == (["animal"], [])
    assert run("tags", "rules", "dog", "--parent=pet").stdout.startswith("nothing changed\n")
    run("tags", "rules", "dog", "--no-parents")
    assert server.entries["dog"].parents == ()
    run("tags", "rules", "cat", "--parent=animal")
    assert server.entries["cat"].parents == ("animal",)


def test_an_alias_stands_for_its_tag_whose_rules_stay(server: KeptPhotos) -> None:
    assert run("tags", "rules", "hound", "--json").lines[0]["name"] == "dog"
    run("tags", "rules", "hound", "--alias=hund")
    assert server.entries["dog"].aliases == ("hound", "rex\x07", "hund")
    assert server.entries["dog"].parents == ("animal",)
    assert "hound" not in server.entries


@pytest.mark.parametrize("command", [["retag", "--not-model=fake"], ["ls", "--model=fake"]])
def test_a_model_filter_without_a_version_is_refused_in_one_line(
    server: KeptPhotos, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def refuse(**asked: object) -> Any:
        wrong = FieldViolation("filter.model_version", 'must be NAME@VERSION, not "fake"')
        raise ArgumentInvalid(wrong.description, code="INVALID_ARGUMENT", field_violations=(wrong,))

    monkeypatch.setattr(server, "retag", refuse)
    monkeypatch.setattr(server, "images", refuse)
    done = run(*command)
    assert (done.code, done.stdout, done.stderr) == (2, "", 'must be NAME@VERSION, not "fake"\n')


@pytest.mark.parametrize(
    "arguments",
    [
        ["tags", "rename", "dog"],
        ["tags", "merge", "dog"],
        ["tags", "merge", "--into=dog"],
        ["tags", "rules", "nobody"],
        ["tags", "rules", "dog", "--alias=a", "--no-aliases"],
        ["tags", "rules", "dog", "--alias=a", "--remove-alias=A"],
        ["tags", "rules", "dog", "--no-parents", "--remove-parent=animal"],
        ["tags", "rules", "dog", "--remove-alias=cat"],
        ["tags", "rules", "dog", "--remove-parent=cat"],
        ["tags", "one", "two"],
        ["tags", "--no-such"],
        ["operations", "nobody"],
        ["operations", "cancel"],
        ["operations", "cancel", "nobody"],
        ["retag", "--since=soon"],
    ],
)
def test_a_wrong_command_line_ends_with_2_and_changes_nothing(server: KeptPhotos, arguments: list[str]) -> None:
    before = dict(server.entries)
    done = run(*arguments)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr
    assert server.entries == before
    assert server.running == []


def test_retagging_waits_and_shows_what_became_of_each_tag(server: KeptPhotos) -> None:
    done = run("retag", "--owner=ada", "--not-model=fake@2", "--model=fake@2", "--untagged", "--dry-run")
    assert (done.code, done.stderr) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert rows["photos"] == ["3", "of", "3", "done,", "0", "failed"]
    assert rows["dog"] == ["2", "1"]
    assert rows[r"sky\x1b"] == ["1"]
    assert "would be added" in done.stdout
    asked = server.calls[0][1]
    assert (asked["owner"], asked["except_model_version"], asked["untagged"]) == ("ada", "fake@2", True)
    assert (asked["model"], asked["dry_run"]) == ("fake@2", True)
    (line,) = run("retag", "--json").lines
    assert line["tag_changes"][0] == {"tag": "dog", "added": 2, "removed": 0, "moved": 1}
    assert (line["state"], line["dry_run"], line["filter"]["owner"]) == ("SUCCEEDED", False, "")


def test_without_waiting_the_id_is_all_there_is(server: KeptPhotos) -> None:
    assert run("retag", "--no-wait").stdout == "op1\n"
    assert run("retag", "--no-wait", "--json").lines[0]["state"] == "PENDING"


@pytest.mark.parametrize(
    "end",
    [
        operation(failed=1, done=2, failures=(ImageFailure("a" * 32, ImageRejected("broken\x07")),)),
        operation(state="FAILED", error=InternalError("the model is gone")),
        operation(state="CANCELLED"),
    ],
    ids=["failures", "failed", "cancelled"],
)
def test_retagging_that_did_not_do_all_ends_with_1(
    server: KeptPhotos, monkeypatch: pytest.MonkeyPatch, end: Operation
) -> None:
    monkeypatch.setattr(server, "wait_for_operation", lambda id, on_progress: end)
    done = run("retag")
    assert done.code == 1
    shown = done.stdout + done.stderr
    assert end.error is None or "the model is gone" in shown
    assert not end.failures or f"{'a' * 32}: broken\\x07" in shown


def test_who_stops_waiting_is_told_that_it_goes_on(server: KeptPhotos, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: object, **named: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "wait_for_operation", interrupt)
    done = run("retag")
    assert (done.code, done.stderr) == (130, "it goes on; end it with: tagwright operations cancel op1\n")

    def lose(*given: object, **named: object) -> Any:
        raise ServerUnreachable("gone")

    monkeypatch.setattr(server, "wait_for_operation", lose)
    done = run("retag")
    assert done.code == 1
    assert "tagwright operations op1" in done.stderr


def test_operations_are_listed_shown_and_cancelled(server: KeptPhotos) -> None:
    assert run("operations").stdout.split()[0] == "id"
    server.running = [operation("op2", dry_run=True, failed=2), operation()]
    done = run("operations")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["op2", "op1"]
    assert "dry run" in done.stdout
    assert "2 failed" in done.stdout
    assert [line["id"] for line in run("operations", "--json").lines] == ["op2", "op1"]
    assert run("operations", "op1", "--json").lines[0]["total"] == 3
    assert "2" in run("operations", "list", "op1").stdout
    assert run("operations", "cancel", "op1", "--json").lines[0]["state"] == "CANCELLED"

"""The command `tags wordnet`: what it shows, what it asks, and what it has the server keep."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kept_photos
import pytest
import tiny_wordnet
from kept_photos import Done, KeptPhotos

from tagwright_admin import connection
from tagwright_client import InternalError, NameTaken, NotFound, ScopeMissing, TagEntry, TagwrightError

LABELS = ["animals", "sky"]
ENTRIES = (
    TagEntry("animal", ("beastie\x07",), (), 1300, 7),
    TagEntry("bluesky", (), (), 6, 0),
    TagEntry("dog", ("hound",), ("pet",), 12, 0),
    TagEntry("dogs", (), (), 7, 0),
    TagEntry("puppy", (), (), 4, 0),
    TagEntry("🐕", (), (), 5, 0),
)


class Vocabulary(KeptPhotos):
    """The tags of a server in memory, which keeps what it is told of them, and errors to meet by a tag's name."""

    def __init__(self) -> None:
        super().__init__(entries={entry.name: entry for entry in ENTRIES})
        self.errors: dict[str, BaseException] = {}
        self.labels = LABELS

    def models(self) -> Any:
        return [SimpleNamespace(labels=[SimpleNamespace(name=name.title()) for name in self.labels])]

    def merge_tags(self, sources: Iterable[str], target: str) -> TagEntry:
        names = list(sources)
        self._meet("merge", target, names)
        if target not in self.entries:
            raise NotFound("there is no tag", code="NOT_FOUND")
        there = self.entries[target]
        gone = [self.entries.pop(name) for name in names]
        aliases = (*there.aliases, *names, *(alias for each in gone for alias in each.aliases))
        self.entries[target] = TagEntry(target, aliases, there.parents, there.image_count, 0)
        return self.entries[target]

    def rename_tag(self, name: str, new_name: str) -> TagEntry:
        self._meet("rename", name, [new_name])
        there = self.entries.pop(name)
        self.entries[new_name] = TagEntry(new_name, (*there.aliases, name), there.parents, there.image_count, 0)
        return self.entries[new_name]

    def set_tag_rules(self, name: str, *, aliases: Iterable[str] = (), parents: Iterable[str] = ()) -> TagEntry:
        said = list(aliases), list(parents)
        self._meet("rules", name, said[1])
        return super().set_tag_rules(name, aliases=said[0], parents=said[1])

    def _meet(self, what: str, name: str, others: list[str]) -> None:
        self.calls.append((what, {name: others}))
        if name in self.errors:
            raise self.errors[name]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vocabulary:
    kept_photos.signed_in(tmp_path, monkeypatch)
    fake = Vocabulary()
    monkeypatch.setattr(connection, "open_client", lambda *given, **named: fake)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_wordnet.write(tmp_path / "wordnet")


def run(folder: Path, *arguments: str, stdin: str | None = None) -> Done:
    return kept_photos.run("tags", "wordnet", f"--folder={folder}", *arguments, stdin=stdin)


def changes(server: Vocabulary) -> list[tuple[str, dict[str, Any]]]:
    return [call for call in server.calls if call[0] != "tags"]


def test_rules_are_a_table_for_people_and_lines_for_programs(server: Vocabulary, folder: Path) -> None:
    server.entries["animal"] = TagEntry("animal", (), (), 1300, 7)
    done = run(folder)
    assert (done.code, done.stderr) == (0, "")
    heading, *rows = done.stdout.splitlines()
    assert heading.split()[:2] == ["tag", "photos"]
    assert [row.split()[:2] for row in rows] == [["animals", "0"], ["bluesky", "6"], ["dog", "12"]]
    assert "animal (1,300)" in rows[0]
    assert "a living organism that moves" in rows[0]
    assert rows[2].rstrip().endswith("  a member of the genus Canis that barks that barks that ba...")
    lines = run(folder, "--json").lines
    assert lines[0] == {
        "name": "animals",
        "image_count": 0,
        "aliases_added": ["animal"],
        "parents_added": [],
        "gloss": "a living organism that moves",
    }
    told = [(line["name"], line["aliases_added"], line["parents_added"]) for line in lines[1:]]
    assert told == [("bluesky", [], ["sky"]), ("dog", ["dogs"], ["animals"])]
    assert changes(server) == []


def test_what_is_said_of_which_tags_counts_is_heeded(server: Vocabulary, folder: Path) -> None:
    names = [line["name"] for line in run(folder, "--json", "--min-photos=4", "--exclude= Bluesky ").lines]
    assert names == ["dog", "puppy"]
    server.entries["auto"], server.entries["car"] = (TagEntry(name, (), (), 9, 0) for name in ("auto", "car"))
    assert "car" not in run(folder).stdout
    assert "auto" in run(folder, "--synonyms").stdout


def test_where_nothing_is_suggested_one_line_says_so(server: Vocabulary, folder: Path) -> None:
    server.entries, server.labels = {}, []
    assert run(folder) == Done(0, "WordNet suggests nothing that is not there\n", "")
    assert run(folder, "--json") == Done(0, "", "")
    assert run(folder, "--apply", "--yes").code == 0


def test_names_of_any_kind_are_shown_escaped(server: Vocabulary, folder: Path) -> None:
    server.entries = {
        name: TagEntry(name, aliases, (), 9, 0)
        for name, aliases in (("rex\x1b[2J", ("dog",)), ("x" * 10_000, ()), ("\u202edogs", ()), ("🐕", ("puppy",)))
    }
    done = run(folder)
    assert done.code == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert [row.split()[0] for row in done.stdout.splitlines()[1:]] == [r"rex\x1b[2J", "🐕"]


def test_applied_rules_come_to_what_is_there(server: Vocabulary, folder: Path) -> None:
    server.entries["animal"] = TagEntry("animal", (), (), 1300, 7)
    server.entries["dogs"] = TagEntry("dogs", (), ("pet",), 7, 0)
    done = run(folder, "--apply", "--yes")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "the rules of 3 of 3 tags are set"
    assert changes(server) == [
        ("merge", {"animals": ["animal"]}),  # a label that no photo has:
        ("rename", {"animal": ["animals"]}),
        ("rules", {"bluesky": ["sky"]}),
        ("merge", {"dog": ["dogs"]}),
        ("rules", {"dog": ["pet", "animals"]}),
    ]
    assert server.entries["dog"] == TagEntry("dog", ("hound", "dogs"), ("pet", "animals"), 0, 0)
    assert server.entries["animals"].aliases == ("animal",)
    assert run(folder).stdout == "WordNet suggests nothing that is not there\n"


def test_of_several_tags_that_become_a_label_all_do(server: Vocabulary, folder: Path) -> None:
    server.entries = {name: TagEntry(name, (), (), 9, 0) for name in ("plant", "plants", "plant life")}
    server.labels = ["plant_life"]
    assert run(folder, "--apply", "--yes", "--synonyms").code == 0
    assert server.entries.keys() == {"plant_life"}
    assert set(server.entries["plant_life"].aliases) == {"plant", "plants", "plant life"}


def test_what_changed_while_people_thought_is_kept(
    server: Vocabulary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thinking(question: str, *, otherwise: str) -> bool:
        server.entries["bluesky"] = TagEntry("bluesky", ("azure",), ("weather",), 6, 0)
        del server.entries["dogs"], server.entries["dog"]
        server.entries["rex"] = TagEntry("rex", ("dog",), ("king",), 12, 0)
        return True

    monkeypatch.setattr("tagwright_admin.prompts.need_terminal", lambda otherwise: None)
    monkeypatch.setattr("tagwright_admin.prompts.confirmed", thinking)
    done = run(folder, "--apply")
    assert done.code == 1
    assert done.stderr == "dog: it is another name of a tag by now\n"
    assert server.entries["bluesky"] == TagEntry("bluesky", ("azure",), ("weather", "sky"), 0, 0)
    assert server.entries["rex"] == TagEntry("rex", ("dog",), ("king",), 12, 0)


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize(
    "error", [NameTaken("it is taken\x07", code="ALREADY_EXISTS"), InternalError("a fault", code="INTERNAL")]
)
def test_one_tag_that_fails_does_not_stop_the_others(
    server: Vocabulary, folder: Path, error: TagwrightError, json: bool
) -> None:
    server.errors["bluesky"] = error
    done = run(folder, "--apply", "--yes", *(["--json"] if json else []))
    assert done.code == 1
    assert "dogs" in server.entries["dog"].aliases
    if json:
        told = {line["name"]: line for line in done.lines}
        assert (told["dog"]["applied"], told["bluesky"]["applied"]) == (True, False)
        assert told["bluesky"]["error"]["text"] == str(error)
        assert "error" not in told["dog"]
        assert done.stderr == ""
    else:
        assert done.stdout.splitlines()[-1] == "the rules of 1 of 2 tags are set"
        assert done.stderr.startswith("bluesky: ")
        assert "\x07" not in done.stderr


def test_what_every_tag_would_meet_ends_it(server: Vocabulary, folder: Path) -> None:
    server.errors["bluesky"] = ScopeMissing("for administrators", code="PERMISSION_DENIED")
    done = run(folder, "--apply", "--yes")
    assert (done.code, done.stderr) == (1, "for administrators\n")
    assert len(changes(server)) == 1
    server.errors["bluesky"] = KeyboardInterrupt()
    done = run(folder, "--apply", "--yes")
    assert (done.code, done.stderr) == (130, "interrupted: the rules of 0 of 2 tags are set\n")


@pytest.mark.parametrize(("answer", "applied"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_without_yes_it_asks(
    server: Vocabulary, folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, applied: bool
) -> None:
    monkeypatch.setattr("tagwright_admin.prompts.on_terminal", lambda: True)
    done = run(folder, "--apply", stdin=answer)
    asked, _, what = done.stderr.partition("? ")
    assert asked == f"Set 1 aliases and 2 parents at {kept_photos.URL}"
    assert what.startswith("On up to 7 photos a tag becomes another one, for good. [y/N]")
    assert done.stdout.splitlines()[0].startswith("tag ")
    assert (done.code, bool(changes(server))) == (0 if applied else 1, applied)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--apply"], "there is no terminal to ask on; say --yes"),
        (["--yes"], "--yes goes with --apply"),
        (["--min-photos=0"], "--min-photos"),
        (["--folder=/nowhere"], "Debian's package wordnet-base"),
        (["more"], ""),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_asks_no_server(
    server: Vocabulary, folder: Path, arguments: list[str], text: str
) -> None:
    done = run(folder, *arguments)
    assert (done.code, done.stdout, server.calls) == (2, "", [])
    assert text in done.stderr


def test_a_folder_without_wordnet_is_one_line(server: Vocabulary, folder: Path) -> None:
    (folder / "index.noun").write_text("<html>")
    done = run(folder)
    assert (done.code, done.stderr) == (2, f"{folder}/index.noun, line 1: it is no line of WordNet 3.0\n")

"""The commands `export` and `import`: what is written down is read again, also by another server."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import kept_photos
import pytest
from kept_photos import Done, KeptPhotos, run, tag

from tagwright_admin import connection, tag_files, xmp
from tagwright_client import Busy, Image, ServerUnreachable

ONE = f"{1:032x}"
# Tags that break whatever is put together from text.
NASTY = ("=1+1", "@sum", "-5", "+", "'=quoted", "a,b", 'q"q', "<&>]]>", "ac/dc", "a|b", "日本", "\U0001f436", "{{x}}")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    fake = kept_photos.signed_in(tmp_path, monkeypatch)
    fake.keep(
        b"one",
        tag("dog", "CONFIRMED", None, "USER"),
        tag("sea", "CONFIRMED", 0.9),
        tag("sky", score=0.123456789),
        tag("typed", score=None, source="IMPORT"),
        tag("cat", "REJECTED", 0.6),
    )
    fake.keep(b"two", *(tag(name) for name in NASTY), file_name="=cmd|' /C calc'!A0\n.jpg")
    fake.keep(b"three", file_name="1.JPG")
    return fake


@pytest.fixture
def other(server: KeptPhotos, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    """Another server with the same photos, on which nobody has decided anything and the model sees less."""
    fake = KeptPhotos(me="zoe")
    for data in (b"three", b"two", b"one", b"more"):
        fake.keep(data, tag("sea", score=0.4), tag("cat", score=0.6), file_name="else.jpg")
    return fake


def _counts(done: Done) -> list[str]:
    return [line.split()[-1] for line in done.stdout.splitlines()]


def move(monkeypatch: pytest.MonkeyPatch, fake: KeptPhotos) -> None:
    monkeypatch.setattr(connection, "open_client", lambda *given, **named: fake)


def tags_of(fake: KeptPhotos, data: bytes) -> dict[str, tuple[str, float | None]]:
    (image,) = [image for image in fake.kept.values() if fake.data[image.id] == data]
    return {each.name: (each.state, each.score and round(each.score, 6)) for each in image.tags}


@pytest.mark.parametrize("format", ["jsonl", "csv", "xmp"])
def test_what_is_exported_is_the_same_on_another_server(
    server: KeptPhotos, other: KeptPhotos, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    out = "tags" if format == "xmp" else f"tags.{format}"
    done = run("export", f"--format={format}", f"--out={out}")
    assert (done.code, done.stdout, done.stderr) == (0, "", f"3 photos written to {out}\n")
    move(monkeypatch, other)
    trial = run("import", out, "--dry-run")
    assert (trial.code, [call for call, _ in other.calls if call == "review"]) == (0, [])
    done = run("import", out)
    assert (done.code, done.stderr) == (0, "")
    assert _counts(trial) == _counts(done)
    first = tags_of(other, b"one")
    assert first == {
        "dog": ("CONFIRMED", None),
        "sea": ("CONFIRMED", 0.4),
        "sky": ("SUGGESTED", 0.123457),
        "typed": ("SUGGESTED", None),
        "cat": ("REJECTED", 0.6),
    }
    second = tags_of(other, b"two")
    assert {name: second[name] for name in NASTY} == dict.fromkeys(NASTY, ("SUGGESTED", 0.75))
    assert set(second) - set(NASTY) == {"sea", "cat"}  # an import takes nothing away
    assert {each.source for each in other.kept[f"{3:032x}"].tags if each.name == "sky"} == {"IMPORT"}
    other.calls.clear()
    assert run("import", out).code == 0
    assert [call for call, _ in other.calls if call == "review"] == []  # nothing is left to say


def test_only_the_photos_that_are_meant_are_exported(server: KeptPhotos) -> None:
    assert [json.loads(line)["id"] for line in run("export", "--format=jsonl", "--tag=dog").stdout.splitlines()] == [
        ONE
    ]
    run("export", "--format=csv", "--owner=ada", "--untagged", "--model=m@1", "--not-model=m@2", "--since=1d")
    assert (server.calls[-1][1]["owner"], server.calls[-1][1]["model_version"]) == ("ada", "m@1")


def test_a_spreadsheet_finds_no_formula(server: KeptPhotos) -> None:
    run("export", "--format=csv", "--out=tags.csv")
    with open("tags.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == list(tag_files.COLUMNS)
    assert (len(header), header[-1]) == (10, "position")
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell and cell[0] in "=+-@\t\r"]
    assert "'=1+1" in cells
    assert "''=quoted" in cells
    assert [row[-1] for row in rows if row[0] == ONE] == ["1", "2", "3", "4", "5"]


def test_photo_managers_find_keywords_that_were_not_rejected(server: KeptPhotos) -> None:
    run("export", "--format=xmp", "--out=sidecars")
    names = sorted(path.name for path in Path("sidecars").iterdir())
    assert names == [f"1-{ONE}.jpg.xmp", "1.JPG.xmp", "=cmd_' _C calc'!A0.jpg.xmp"]
    data = Path("sidecars", names[0]).read_bytes()
    assert xmp.keywords(data) == ["sea", "dog", "sky", "typed"] * 3
    nasty = Path("sidecars", names[2]).read_bytes()
    assert list(dict.fromkeys(xmp.keywords(nasty))) == list(server_order(server))
    about = ElementTree.fromstring(nasty)[0][0]
    assert about.get("{urn:tagwright:xmp:1.0/}imageId") == f"{2:032x}"


def server_order(server: KeptPhotos) -> list[str]:
    return [each.name for each in server.kept[f"{2:032x}"].tags]


def test_keywords_that_a_photo_manager_changed_are_a_persons_word(
    server: KeptPhotos, other: KeptPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export", "--format=xmp", "--out=sidecars", "--tag=dog")
    path = Path("sidecars", "1.jpg.xmp")
    text = path.read_text(encoding="utf-8")
    text = text.replace("<rdf:li>dog</rdf:li>", "<rdf:li>beach</rdf:li><rdf:li>cat</rdf:li>", 1)
    path.write_text(text, encoding="utf-8")
    move(monkeypatch, other)
    assert run("import", str(path)).code == 0
    changed = tags_of(other, b"one")
    assert (changed["beach"][0], changed["cat"][0]) == ("CONFIRMED", "CONFIRMED")
    assert "dog" not in changed


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_file_is_there_only_once_it_is_complete(
    server: KeptPhotos, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    Path("tags").write_text("before")

    def break_off(**asked: object) -> object:
        yield server.kept[ONE]
        raise ServerUnreachable("gone")

    monkeypatch.setattr(server, "images", break_off)
    assert run("export", f"--format={format}", "--out=tags").code == 1
    assert [path.name for path in Path().iterdir()] == ["tags"]
    assert Path("tags").read_text() == "before"


def test_sidecars_go_into_an_empty_folder_alone(server: KeptPhotos) -> None:
    Path("mine").mkdir()
    Path("mine/1.jpg.xmp").write_text("mine")
    for out in ("mine", "-"):
        done = run("export", "--format=xmp", f"--out={out}")
        assert (done.code, done.stdout) == (2, "")
    assert Path("mine/1.jpg.xmp").read_text() == "mine"
    full = run("export", "--format=jsonl", "--out=/no/such/folder/tags")
    assert (full.code, len(full.stderr.splitlines())) == (1, 1)
    assert run("export").code == 2


def line(**changes: object) -> str:
    about = {"id": ONE, "tags": [{"name": "new", "state": "CONFIRMED", "score": None}]}
    return json.dumps({**about, **changes})


BAD_LINES = [
    "no json",
    "[]",
    "7",
    line(tags="dog"),
    line(tags=[7]),
    line(tags=[{"name": "", "state": "CONFIRMED"}]),
    line(tags=[{"name": "a", "state": "MAYBE"}]),
    line(tags=[{"name": "a", "state": "SUGGESTED", "score": 2}]),
    line(tags=[{"name": "a", "state": "SUGGESTED", "score": True}]),
    line(tags=[{"name": "a", "state": "SUGGESTED", "score": "nan"}]),
    '{"id": "x", "tags": [{"name": "a", "state": "SUGGESTED", "score": 1e999}]}',
    line(id=""),
    line(source_sha256="dog"),
    line(source_sha256=7),
    "[" * 50_000,
    "\udcff",
]


@pytest.mark.parametrize("bad", BAD_LINES, ids=lambda text: text[:30])
def test_a_line_that_makes_no_sense_is_told_with_its_number(server: KeptPhotos, bad: str) -> None:
    Path("tags.jsonl").write_bytes(f"{line()}\n\n{bad}\n{line()}".encode(errors="surrogateescape"))
    done = run("import", "tags.jsonl")
    assert done.code == 1
    assert done.stderr.startswith("tags.jsonl, line 3: ")
    assert done.count("photos") == "2"
    assert tags_of(server, b"one")["new"] == ("CONFIRMED", None)


@pytest.mark.parametrize(
    "bad",
    [
        "x",
        f"{ONE},,CONFIRMED,",
        f"{ONE},a,MAYBE,",
        f"{ONE},a,SUGGESTED,1.5",
        ",a,CONFIRMED,",
        f"{ONE},\udcff,CONFIRMED,",
        f'{ONE},"a"b,CONFIRMED,',
        f"{ONE},a\0,CONFIRMED,",
        f"{ONE},{'x' * 200_000},CONFIRMED,",
    ],
    ids=lambda text: ascii(text)[:50],
)
def test_a_row_that_makes_no_sense_is_told_with_its_number(server: KeptPhotos, bad: str) -> None:
    text = f"\ufeffimage_id,tag,state,score\n{ONE},new,confirmed,\n{bad}\n\n{ONE},=newer,Suggested,.5\n"
    Path("tags.csv").write_bytes(text.encode(errors="surrogateescape"))
    done = run("import", "tags.csv")
    assert done.code == 1
    assert done.stderr.startswith("tags.csv, line 3: ")
    assert (done.count("photos"), done.count("lines not read")) == ("1", "1")
    assert tags_of(server, b"one")["=newer"] == ("SUGGESTED", 0.5)


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "tag,state\n", '"' + "x" * 1000, 'image_id,tag,state\n"never,ends\n']
)
def test_a_file_that_is_no_table_of_tags_changes_nothing(server: KeptPhotos, text: str) -> None:
    Path("tags.csv").write_text(text)
    done = run("import", "tags.csv")
    assert done.code == (1 if text else 0)
    assert done.count("photos") == "0"


@pytest.mark.parametrize("text", ["", "<x/>", "<!DOCTYPE x []><x/>", "no xml"])
def test_a_sidecar_that_is_not_ours_is_told_and_the_others_are_read(
    server: KeptPhotos, other: KeptPhotos, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    run("export", "--format=xmp", "--out=sidecars")
    Path("sidecars", "a.xmp").write_text(text)
    Path("sidecars", "b.xmp").symlink_to("/etc/hostname")
    move(monkeypatch, other)
    done = run("import", "sidecars")
    assert (done.code, done.count("photos"), done.count("lines not read")) == (1, "3", "2")
    assert "sidecars/a.xmp: " in done.stderr


def test_photos_that_are_not_there_are_told_and_counted(server: KeptPhotos) -> None:
    gone = line(id="f" * 32, source_sha256="0" * 64)
    Path("tags.jsonl").write_text(f"{gone}\n{line()}\n")
    done = run("import", "tags.jsonl", "--json")
    assert (done.code, [each["id"] for each in done.lines]) == (1, [ONE])
    assert done.lines[0]["add"] == ["new"]
    assert "tags.jsonl, line 1: there is no such photo" in done.stderr
    assert run("import", "/no/such/file").code == 2


def test_what_people_decided_here_outlives_a_suggestion(server: KeptPhotos) -> None:
    tags = [{"name": "CAT", "state": "SUGGESTED", "score": 0.9}, {"name": "dog", "state": "SUGGESTED"}]
    Path("tags.jsonl").write_text(line(tags=tags))
    before = server.kept[ONE]
    done = run("import", "tags.jsonl")
    assert (done.code, done.count("decided here already")) == (0, "2")
    assert server.kept[ONE] == before


def test_of_equal_photos_the_owner_that_is_named_counts_else_ones_own(server: KeptPhotos) -> None:
    bobs = server.keep(b"one", owner="bob")
    sha256 = bobs.source_sha256
    lines = [line(id="x", source_sha256=sha256.upper(), owner="bob"), line(id="x", source_sha256=sha256, owner="eve")]
    Path("tags.jsonl").write_text("\n".join(lines))
    assert [each["id"] for each in run("import", "tags.jsonl", "--json").lines] == [bobs.id, ONE]


def test_a_photo_that_cannot_be_changed_fails_alone(server: KeptPhotos, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(id: str, **said: object) -> Image:
        raise Busy("locked", code="UNAVAILABLE")

    monkeypatch.setattr(server, "review", refuse)
    Path("tags.jsonl").write_text(f"{line()}\n{line()}\n")
    done = run("import", "tags.jsonl")
    assert (done.code, done.count("photos failed")) == (1, "2")
    assert "tags added" not in done.stdout

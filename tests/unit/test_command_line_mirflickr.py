"""The command `import-mirflickr`: both layouts, straight from their zips, with the owners' tags."""

from __future__ import annotations

import zipfile
from pathlib import Path

import flickr
import kept_photos
import pytest
from kept_photos import KeptPhotos, run


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    return kept_photos.signed_in(tmp_path, monkeypatch)


def offered(server: KeptPhotos) -> dict[str | None, tuple[str, ...]]:
    return {photo.file_name: photo.user_tags for photo in server.offered}


EXPECTED = {f"im{number}.jpg": tuple(flickr.TAGS[number]) for number in flickr.IDS}


@pytest.mark.parametrize("layout", [flickr.with_tables, flickr.as_published])
def test_both_layouts_give_the_same_photos_with_their_tags(server: KeptPhotos, tmp_path: Path, layout: object) -> None:
    assert callable(layout)
    done = run("import-mirflickr", layout(tmp_path / "mirflickr25k"), "--shared")
    assert (done.code, done.stderr) == (0, "")
    assert offered(server) == EXPECTED
    assert list(offered(server)) == list(EXPECTED)  # by number
    assert server.calls[0][1]["visibility"] == "SHARED"
    assert (done.count("stored"), done.count("user tags")) == ("4", "5")
    assert run("import-mirflickr", tmp_path / "mirflickr25k").count("already there") == "4"


def test_the_zip_that_is_published_needs_no_unpacking(server: KeptPhotos, tmp_path: Path) -> None:
    folder = flickr.as_published(tmp_path / "all")
    with zipfile.ZipFile(tmp_path / "mirflickr25k.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    assert run("import-mirflickr", tmp_path / "mirflickr25k.zip").code == 0
    assert offered(server) == EXPECTED


def test_a_limit_takes_the_first_ones_by_number(server: KeptPhotos, tmp_path: Path) -> None:
    root = flickr.with_tables(tmp_path / "m", ids=(100, 9, 20))
    done = run("import-mirflickr", root, "--limit=2", "--dry-run", "--json")
    assert [line["photo"].rpartition("/")[2] for line in done.lines] == ["im9.jpg", "im20.jpg"]
    assert server.calls == []


def test_tags_with_commas_blanks_and_other_scripts_stay_whole(server: KeptPhotos, tmp_path: Path) -> None:
    tags = {1: ("l’eau–camera", "geo:lat=51", "a,b", "new york"), 2: ("x" * 200, "", "ok")}
    root = flickr.with_tables(tmp_path / "m", ids=(1, 2), tags=tags)
    done = run("import-mirflickr", root)
    assert offered(server) == {"im1.jpg": tags[1], "im2.jpg": ("ok",)}
    assert done.count("tags left out") == "1"


def test_failures_can_be_tried_again_with_their_tags(server: KeptPhotos, tmp_path: Path) -> None:
    root = flickr.as_published(tmp_path / "m")
    (root / "mirflickr" / "im2.jpg").write_bytes(b"!truncated")
    assert run("import-mirflickr", root).code == 1
    server.offered.clear()
    (root / "mirflickr" / "im2.jpg").write_bytes(flickr.jpeg(2))
    assert run("import-mirflickr", root, "--retry=upload-failures.jsonl").code == 0
    assert offered(server) == {"im2.jpg": ("dog",)}
    assert not Path("upload-failures.jsonl").exists()


def test_a_line_of_the_table_that_is_none_is_told(server: KeptPhotos, tmp_path: Path) -> None:
    root = flickr.with_tables(tmp_path / "m")
    with (root / "user_tags.tsv").open("ab") as file:
        file.write(b"no number\tdog\n\n\xff\n")
    done = run("import-mirflickr", root)
    assert (done.code, done.count("stored")) == (0, "4")
    assert "line 5 does not begin with a photo's number" in done.stderr


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_a_folder_without_photos_is_refused(server: KeptPhotos, tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    if content is not None:
        (folder / "images_1.zip").write_bytes(content)
    for path in (folder, tmp_path / "none"):
        done = run("import-mirflickr", path)
        assert (done.code, done.stdout, server.calls) == (2, "", [])
        assert len(done.stderr.splitlines()) == 1

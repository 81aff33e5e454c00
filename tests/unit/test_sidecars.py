"""The tags that lie beside a photo, in every form that is read, and files that are none of them."""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from tagwright_admin import sidecars, tag_names, xmp
from tagwright_admin.folders import Archive, DiskFolder
from tagwright_admin.sidecars import Beside

XMP = """<?xpacket begin='\ufeff'?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:digiKam="http://www.digikam.org/ns/1.0/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/">
 <dc:subject><rdf:Bag><rdf:li>Hund</rdf:li><rdf:li> B&amp;B </rdf:li></rdf:Bag></dc:subject>
 <digiKam:TagsList><rdf:Seq><rdf:li>Tiere/Hund</rdf:li><rdf:li>Ort/Köln</rdf:li></rdf:Seq></digiKam:TagsList>
 <lr:hierarchicalSubject><rdf:Bag><rdf:li>a|b|leaf</rdf:li></rdf:Bag></lr:hierarchicalSubject>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def beside(folder: Path, name: str = "photo.jpg", /, **files: str | bytes) -> Beside:
    for at, text in files.items():
        path = folder / at.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return sidecars.read(DiskFolder(str(folder)), name)


@pytest.mark.parametrize("name", ["photo_txt", "photo_jpg_txt", "PHOTO_TXT"])
@pytest.mark.parametrize(
    "text",
    [
        "dog\nbig sky\n",
        "dog, big sky",
        b"\xef\xbb\xbfdog\r\n\r\nbig sky\r\n",
        "dog\nbig sky".encode("utf-16"),
        " dog ,,big sky,\n",
    ],
)
def test_a_text_holds_a_tag_a_line_or_between_commas(tmp_path: Path, name: str, text: str | bytes) -> None:
    assert beside(tmp_path, **{name: text}) == Beside(("dog", "big sky"))


@pytest.mark.parametrize(
    "value",
    [
        ["dog", "big sky"],
        {"tags": ["dog", "big sky"]},
        {"Keywords": ["dog", "big sky"], "title": "no tag"},
        {"keywords": "dog, big sky"},
        {"tags": [{"name": "dog"}, {"raw": "big sky", "_content": "bigsky"}]},
        {"photo": {"tags": {"tag": [{"raw": "dog"}, {"raw": "big sky"}]}}},  # Flickr's API
        {"title": "photo.jpg", "metadata": {"subject": ["dog", " big sky "]}, "people": [{"name": "Ada"}]},
        [["nested"], "dog", 7, None, "", "big sky"],
    ],
)
def test_json_is_a_list_or_an_object_that_has_one(tmp_path: Path, value: object) -> None:
    assert beside(tmp_path, photo_json=json.dumps(value)) == Beside(("dog", "big sky"))
    (tmp_path / "photo.json").unlink()
    assert beside(tmp_path, photo_jpg_json=json.dumps(value)).tags == ("dog", "big sky")


def test_what_downloaders_write_with_blanks_between_is_read_too(tmp_path: Path) -> None:
    assert beside(tmp_path, photo_json='{"tag_string": "dog big_sky"}').tags == ("dog", "big_sky")


def test_xmp_gives_subjects_and_the_last_parts_of_paths(tmp_path: Path) -> None:
    found = beside(tmp_path, photo_xmp=XMP)
    assert found == Beside(("Hund", "B&B", "Hund", "Köln", "leaf"))
    assert tag_names.usable(found.tags).names == ("Hund", "B&B", "Köln", "leaf")


@pytest.mark.parametrize("place", ["tags7_txt", "tags__tags7_txt", "meta__tags__tags7_txt"])
def test_mirflickrs_own_files_are_found(tmp_path: Path, place: str) -> None:
    assert beside(tmp_path, "im7.jpg", **{place: "dog\r\nrex, the dog\r\n"}).tags == ("dog", "rex, the dog")
    assert beside(tmp_path, "im77.jpg").tags == ()


def test_all_that_lies_beside_a_photo_counts_in_order(tmp_path: Path) -> None:
    found = beside(tmp_path, photo_txt="a", photo_jpg_txt="b", photo_json='["c"]', photo_xmp=XMP, other_txt="no")
    assert found.tags[:4] == ("a", "b", "c", "Hund")


def test_in_a_zip_they_lie_beside_the_photo_as_well(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("holiday/photo.jpg", b"dog")
        made.writestr("holiday/Photo.txt", "dog")
        made.writestr("mirflickr/meta/tags/tags7.txt", "seven")
        made.writestr("photo.txt", "another folder's")
    archive = Archive(str(path))
    assert sidecars.read(archive.folder("holiday"), "photo.jpg").tags == ("dog",)
    assert sidecars.read(archive.folder("mirflickr"), "im7.jpg").tags == ("seven",)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("photo.txt", b"\x00\x01\x02", "no text"),
        ("photo.json", b'{"tags": [', "no JSON"),
        ("photo.json", b"\xff\xfe\xff", "no text that can be read"),
        ("photo.json", b"[" * 100_000, "nested too deeply"),
        ("photo.xmp", b"<x>", "no XML"),
        ("photo.xmp", b"", "no XML"),
        ("photo.xmp", BOMB.encode(), "document type"),
        ("photo.xmp", BOMB.encode("utf-16"), "document type"),
        ("photo.xmp", OUTSIDE.encode(), "document type"),
        ("photo.xmp", b"<x>" * 200_000, "nested too deeply"),
        ("photo.xmp", b'<?xml version="1.0" encoding="no-such"?><x/>', "no XML"),
        ("photo.txt", b"a" * (5 * 1024 * 1024), "larger than 4 MiB"),
    ],
)
def test_what_cannot_be_read_is_told_and_breaks_nothing(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "photo.jpg.txt").write_text("dog")
    found = sidecars.read(DiskFolder(str(tmp_path)), "photo.jpg")
    assert found.tags == ("dog",)
    (problem,) = found.problems
    assert problem.startswith(f"{name}: ")
    assert reason in problem


def test_a_link_or_a_pipe_is_no_sidecar(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "photo.txt").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "photos" / "photo.jpg.txt")
    (tmp_path / "photos" / "photo.json").mkdir()
    found = sidecars.read(DiskFolder(str(tmp_path / "photos")), "photo.jpg")
    assert found.tags == ()
    assert len(found.problems) == 3


def test_json_that_is_about_something_else_has_no_tags(tmp_path: Path) -> None:
    for text in ('"dog"', "7", "null", '{"title": "dog"}', '{"tags": 7, "a": {"b": {"tags": ["too deep"]}}}', "[]"):
        assert beside(tmp_path, photo_json=text) == Beside()


def test_tags_that_the_server_would_refuse_are_left_out_and_counted() -> None:
    given = ["Dog", " dog ", "ＤＯＧ", "", "   ", "a" * 128, "a" * 129, "a\x07b", "a\u202eb", "\udcff", "tab\tbed"]
    assert tag_names.usable(given) == tag_names.Usable(("Dog", "a" * 128, "tab bed"), 6)
    many = tag_names.usable(str(number) for number in range(300))
    assert (len(many.names), many.left_out) == (256, 44)
    assert tag_names.usable(["\ufdfa" * 20]).left_out == 1  # one character that is kept as eighteen


def test_keywords_raises_nothing_else() -> None:
    for data in (b"\0", b"<a:b/>", b'<x xmlns="', "<x>\ud7ff</x>".encode("utf-16"), b"<?xml version='1.1'?><x/>"):
        with suppress(xmp.NotXmp):
            assert xmp.keywords(data) == []

"""Whatever the tags and names are: what is written to a file is well-formed, and is itself again when it is read."""

from __future__ import annotations

import csv
import io
import os

import kept_photos
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwright_admin import tag_files, xmp
from tagwright_admin.file_names import Distinct, safe_name
from tagwright_admin.tag_records import PhotoRecord, TagRecord

# What the server keeps: no control characters and no surrogates; white space is single blanks.
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).map(lambda text: " ".join(text.split()))
TAGS = st.lists(
    st.builds(
        TagRecord,
        TEXT.filter(bool),
        st.sampled_from(["CONFIRMED", "SUGGESTED", "REJECTED"]),
        st.none() | st.floats(0, 1).map(lambda score: round(score, 6)),
    ),
    unique_by=lambda tag: tag.name,
    min_size=1,
    max_size=5,
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=["\0"]), max_size=20)
SHA256 = "ab" * 32


@given(tags=TAGS, owner=TEXT)
def test_a_sidecar_is_read_as_it_was_written(tags: list[TagRecord], owner: str) -> None:
    tags = [tag for tag in tags if not set("\ufffe\uffff") & set(tag.name)]  # XML has no way to write these
    data = xmp.write(xmp.Labelled(SHA256, "id", owner.replace("\uffff", "").replace("\ufffe", ""), tags)).encode()
    read = xmp.read(data, where="here")
    assert (read.source_sha256, read.image_id) == (SHA256, "id")
    assert sorted(read.tags, key=lambda tag: tag.name) == sorted(tags, key=lambda tag: tag.name)
    kept = [tag.name for tag in tags if tag.state != "REJECTED"]
    assert xmp.keywords(data)[: len(kept)] == kept


@given(tags=TAGS, name=NAMES)
def test_a_table_is_read_as_it_was_written(tags: list[TagRecord], name: str) -> None:
    fake = kept_photos.KeptPhotos()
    image = fake.keep(b"dog", *(kept_photos.tag(tag.name, tag.state, tag.score) for tag in tags), file_name=name)
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(tag_files.csv_header())
    rows.writerows(tag_files.csv_rows(image))
    written = file.getvalue().encode()
    (read,) = tag_files.read_csv(io.BytesIO(written), name="tags.csv")
    assert isinstance(read, PhotoRecord)
    assert {(tag.name, tag.state, tag.score) for tag in read.tags} == {(tag.name, tag.state, tag.score) for tag in tags}


@given(data=st.binary(max_size=300))
def test_whatever_is_in_a_file_reading_it_ends(data: bytes) -> None:
    list(tag_files.read_csv(io.BytesIO(data), name="x"))
    list(tag_files.read_csv(io.BytesIO(b"image_id,tag,state\n" + data), name="x"))
    list(tag_files.read_jsonl(io.BytesIO(data), name="x"))


@given(name=st.text())
def test_a_name_of_a_file_is_never_a_path(name: str) -> None:
    safe = safe_name(name, otherwise="photo")
    assert safe == os.path.basename(safe)
    assert safe not in ("", ".", "..")
    assert not safe.startswith(".")
    assert safe.isprintable()
    assert len(safe.encode()) <= 220


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/abs.jpg", "_abs.jpg"),
        ("C:\\x.jpg", "C__x.jpg"),
        (".hidden", "hidden"),
        ("..", "photo"),
        ("///", "photo"),
        ("con.jpg", "_con.jpg"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("ü" * 300 + ".jpg", "ü" * 98 + ".jpg"),
    ],
)
def test_names_keep_what_is_a_name_in_them(name: str, safe: str) -> None:
    assert safe_name(name, otherwise="photo") == safe


def test_equal_names_are_told_apart_also_by_case() -> None:
    names = Distinct()
    given = [names.name(name, id=id) for name, id in [("a.jpg", "1"), ("A.jpg", "2"), ("a-2.jpg", "3"), ("a.jpg", "2")]]
    assert given == ["a.jpg", "A-2.jpg", "a-2-3.jpg", "a-2-2.jpg"]
    assert len({name.casefold() for name in given}) == 4

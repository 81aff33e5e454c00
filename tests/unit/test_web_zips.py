"""Zip files that somebody made to do harm, or that came to some: what is read of them, and what is said."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zipfile

import pytest
from zipped import packed, photos

from tagwright_web import zips
from tagwright_web.zips import ArchiveRefused, EntryRefused, PhotoArchive, file_name, shown

LIST, END = b"PK\x01\x02", b"PK\x05\x06"


def refusal(archive: PhotoArchive, number: int = 0) -> str:
    with pytest.raises(EntryRefused) as refused:
        archive.read(number)
    return str(refused.value)


def test_photos_come_in_their_order_with_their_bytes() -> None:
    archive = PhotoArchive(packed({"b.jpg": b"1", "a/": b"", "a/c.PNG": b"2"}, zipfile.ZIP_DEFLATED))
    assert archive.names == ("b.jpg", "a/c.PNG")
    assert [archive.read(number) for number in range(2)] == [b"1", b"2"]


def test_an_encrypted_photo_fails_and_says_so() -> None:
    data = bytearray(packed({"a.jpg": b"1", "b.jpg": b"2"}).getvalue())
    data[6] |= 1
    data[data.index(LIST) + 8] |= 1
    archive = PhotoArchive(io.BytesIO(bytes(data)))
    assert refusal(archive) == "It is encrypted. Make the zip file without a password."
    assert archive.read(1) == b"2"


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_without_a_limit_are_not_unpacked(packing: int) -> None:
    assert "uncommon way" in refusal(PhotoArchive(packed({"a.jpg": bytes(1_000_000)}, packing)))


def test_a_photo_that_would_be_too_large_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "PHOTO_BYTES_MAX", 1000)
    archive = PhotoArchive(packed({"a.jpg": b"x" * 1001, "b.jpg": b"x" * 1000}))
    assert "larger than" in refusal(archive)
    assert len(archive.read(1)) == 1000


@pytest.mark.parametrize("told", [0, 10, 999, 5_000_000])
def test_a_list_that_lies_about_the_size_gets_no_more_than_it_says(told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "_RATIO_MAX", 10**9)
    data = bytearray(packed({"a.jpg": bytes(2_000_000)}, zipfile.ZIP_DEFLATED).getvalue())
    struct.pack_into("<I", data, data.index(LIST) + 24, told)
    assert "damaged" in refusal(PhotoArchive(io.BytesIO(bytes(data))))


def test_a_photo_that_unpacks_to_a_hundred_times_its_size_is_none() -> None:
    archive = PhotoArchive(packed({"bomb.jpg": bytes(5_000_000), "plain.jpg": bytes(900_000)}, zipfile.ZIP_DEFLATED))
    assert refusal(archive) == "It would unpack to more than 100 times its size, as no photo does."
    assert len(archive.read(1)) == 900_000  # a small picture of one colour does shrink like that


def test_entries_that_share_their_bytes_are_refused() -> None:
    data = packed({"a.jpg": hashlib.sha512(b"a").digest() * 100}).getvalue()
    start = data.index(LIST)
    entry, end = data[start : data.index(END)], bytearray(data[data.index(END) :])
    struct.pack_into("<HHI", end, 8, 40, 40, 40 * len(entry))
    with pytest.raises(ArchiveRefused, match="more than is in it"):
        PhotoArchive(io.BytesIO(data[:start] + entry * 40 + bytes(end)))


def test_more_entries_than_may_be_are_refused_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    several = packed(photos(21))
    made: list[object] = []
    monkeypatch.setattr(zips, "ENTRIES_MAX", 20)
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *given, **named: made.append(given))
    with pytest.raises(ArchiveRefused, match="files are in this zip file"):
        PhotoArchive(several)
    assert made == []


def test_as_many_entries_as_may_be_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "ENTRIES_MAX", 20)
    assert PhotoArchive(packed(photos(20))).contents.photos == 20


def test_a_list_of_entries_that_says_it_is_huge_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "_LIST_BYTES_MAX", 1000)
    with pytest.raises(ArchiveRefused, match="files are in this zip file"):
        PhotoArchive(packed(photos(40)))


def test_a_name_that_is_not_the_text_it_says_it_is_does_no_harm() -> None:
    data = packed({"\u00e9.jpg": b"1", "b.jpg": b"2"}).getvalue().replace("\u00e9".encode(), b"\xff\xfe")
    with pytest.raises(ArchiveRefused, match="damaged"):
        PhotoArchive(io.BytesIO(data))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_bytes_are_it_is_one_of_two_errors_or_none(seed: int) -> None:
    chance = random.Random(seed)
    whole = packed(photos(6), zipfile.ZIP_DEFLATED if seed % 2 else zipfile.ZIP_STORED).getvalue()
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            archive = PhotoArchive(io.BytesIO(bytes(data)))
        except ArchiveRefused:
            continue
        for number in range(len(archive.names)):
            try:
                archive.read(number)
            except EntryRefused:
                continue


def test_names_are_shown_as_they_are_but_for_what_moves_the_text() -> None:
    assert shown("Größe 東京/<b>.jpg") == "Größe 東京/<b>.jpg"
    assert shown("a\x00\x1b[31m\u202egpj\n.jpg") == "a��[31m�gpj�.jpg"
    assert shown("x" * 1000) == "x" * 400 + "…"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.jpg", "a.jpg"),
        ("../../etc/a.jpg", "a.jpg"),
        ("C:\\pictures\\a.jpg", "a.jpg"),
        ("deep/" + "x" * 400 + ".jpg", "x" * 251 + ".jpg"),
        ("a\tb.jpg", "a�b.jpg"),
    ],
)
def test_a_photo_is_kept_with_its_own_name(name: str, kept: str) -> None:
    assert file_name(name) == kept

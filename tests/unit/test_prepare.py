"""`tagwright-train prepare`: what it reads, what it refuses and where it says so, and how it splits."""

from __future__ import annotations

import json
import multiprocessing
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import flickr
import numpy as np
import pytest
from typer.testing import CliRunner

from tagwright_training import __main__ as command_line
from tagwright_training import dataset as datasets
from tagwright_training.prepare import DataInvalid, part_of, read_folder


def says(root: Path, *, allow_absent: bool = False) -> list[str]:
    """What is wrong with a folder, with its path shown as DATA."""
    with pytest.raises(DataInvalid) as caught:
        read_folder(root, allow_absent=allow_absent)
    return [str(problem).replace(str(root), "DATA") for problem in caught.value.problems]


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code of `tagwright-train prepare ...` and everything it printed."""
    words = ["prepare", *map(str, arguments)]
    result = CliRunner().invoke(command_line.build(words), words, env={"COLUMNS": "300", "TERM": "dumb"})
    return result.exit_code, result.output


def append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as handle:
        handle.write(text)


def replace_photo(root: Path, photo_id: int, data: bytes | None) -> None:
    """Write images_1.zip anew with another photo under this id, or without it."""
    with zipfile.ZipFile(root / "images_1.zip") as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != f"im{photo_id}.jpg"}
    with zipfile.ZipFile(root / "images_1.zip", "w") as archive:
        for name, content in kept.items() | ({(f"im{photo_id}.jpg", data)} if data is not None else set()):
            archive.writestr(name, content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return flickr.with_tables(tmp_path / "data")


# What it reads


def test_zips_and_tables_become_photos_with_labels_strict_labels_and_user_tags(root: Path) -> None:
    found = read_folder(root)
    assert found.labels == ("dog", "sky")
    assert found.strict_labels == ("dog",)
    assert [photo.id for photo in found.photos] == [1, 2, 3, 5]
    second, last = found.photos[1], found.photos[3]
    assert (second.labels, second.strict, second.user_tags) == (("dog", "sky"), ("dog",), ("dog",))
    assert (last.archive, last.file, last.user_tags) == ("images_2.zip", "im5.jpg", ("blue", "sky"))


@pytest.mark.parametrize("annotations", ["annotations", "mirflickr25k_annotations_v080", "mirflickr/annotations"])
def test_the_published_layout_says_the_same_as_the_one_with_tables(
    root: Path, tmp_path: Path, annotations: str
) -> None:
    published = read_folder(flickr.as_published(tmp_path / "published", annotations=annotations))
    assert published.photos[0].file == "mirflickr/im1.jpg"
    assert [replace(p, archive=None, file="") for p in published.photos] == [
        replace(p, archive=None, file="") for p in read_folder(root).photos
    ]


def test_photos_may_lie_directly_in_the_folder_or_deeper(root: Path) -> None:
    for number in (1, 2):
        (root / f"images_{number}.zip").unlink()
    (root / "images" / "0").mkdir(parents=True)
    for photo_id in flickr.IDS:
        home = root if photo_id < 3 else root / "images" / "0"
        (home / f"im{photo_id}.jpg").write_bytes(flickr.jpeg(photo_id))
    assert [p.file for p in read_folder(root).photos] == ["im1.jpg", "im2.jpg", "images/0/im3.jpg", "images/0/im5.jpg"]


def test_tags_as_their_owners_typed_them_become_flickr_s_form(tmp_path: Path) -> None:
    root = flickr.as_published(tmp_path / "data")
    meta = root / "mirflickr" / "meta"
    (meta / "tags").rename(meta / "tags_raw")
    (meta / "tags_raw" / "tags1.txt").write_text("Été à la plage\n!!\ngeo:lat=51.5\n", encoding="utf-8")
    assert read_folder(root).photos[0].user_tags == ("étéàlaplage", "geo:lat=515")


def test_labels_tsv_alone_is_enough(root: Path) -> None:
    expected = [photo.labels for photo in read_folder(root).photos]
    for file in (root / "annotations").iterdir():
        file.unlink()
    (root / "annotations").rmdir()
    assert [photo.labels for photo in read_folder(root).photos] == expected


def test_tags_with_unusual_line_separators_stay_one_tag(root: Path) -> None:
    (root / "user_tags.tsv").write_text("1\ta\u2028b\tc\n", encoding="utf-8")
    assert read_folder(root).photos[0].user_tags == ("a\u2028b", "c")


# What it refuses


def _breaks(change: Callable[[Path], object], *messages: str) -> object:
    return pytest.param(change, messages)


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        _breaks(
            lambda r: replace_photo(r, 2, None),
            "DATA/annotations/dog.txt:2: photo 2 is 'dog', but there is no im2.jpg",
            "DATA/annotations/dog_r1.txt:1: photo 2 is 'dog_r1', but there is no im2.jpg",
            "DATA/annotations/sky.txt:1: photo 2 is 'sky', but there is no im2.jpg",
            "DATA/user_tags.tsv: tags of no photo: no im2.jpg",
        ),
        _breaks(
            lambda r: replace_photo(r, 2, flickr.jpeg(2, size=(640, 480))[:4000]),
            "DATA/images_1.zip:im2.jpg: cannot be read: image file is truncated (",
        ),
        _breaks(
            lambda r: replace_photo(r, 2, b""), "DATA/images_1.zip:im2.jpg: cannot be read: the file is empty"
        ),
        _breaks(lambda r: replace_photo(r, 2, b"no photo"), "DATA/images_1.zip:im2.jpg: cannot be read: cannot"),
        _breaks(
            lambda r: replace_photo(r, 2, b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,"
                                           b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"),
            "DATA/images_1.zip:im2.jpg: cannot be used: it is a GIF, not a JPEG",
        ),
        _breaks(
            lambda r: (r / "images_1.zip").write_bytes(b"PK"), "DATA/images_1.zip: not a readable zip: "
        ),
        _breaks(lambda r: (r / "imX.jpg").write_bytes(b""), "DATA/imX.jpg: a photo's name must be imN.jpg"),
        _breaks(lambda r: (r / "im7.png").write_bytes(b""), "DATA/im7.png: a photo's name must be imN.jpg"),
        _breaks(
            lambda r: (r / "im25001.jpg").write_bytes(flickr.jpeg(1)),
            "DATA/im25001.jpg: photo id 25001 is not in 1..25000",
        ),
        _breaks(
            lambda r: (r / "im5.jpg").write_bytes(flickr.jpeg(5)),
            "DATA/images_2.zip:im5.jpg: photo 5 is already at DATA/im5.jpg|DATA/im5.jpg: photo 5 is already at ",
        ),
        _breaks(
            lambda r: append(r / "annotations" / "dog.txt", "25001\n"),
            "DATA/annotations/dog.txt:3: photo id 25001 is not in 1..25000",
        ),
        _breaks(
            lambda r: append(r / "annotations" / "dog.txt", "\n0\n"),
            "DATA/annotations/dog.txt:4: photo id 0 is not in 1..25000",
        ),
        _breaks(
            lambda r: append(r / "annotations" / "dog.txt", "im3\n"),
            "DATA/annotations/dog.txt:3: 'im3' is not a photo id",
        ),
        _breaks(
            lambda r: append(r / "annotations" / "dog.txt", "1\n"),
            "DATA/annotations/dog.txt:3: photo 1 is already listed at DATA/annotations/dog.txt:1",
        ),
        _breaks(
            lambda r: (r / "annotations" / "car.txt").write_text(" \n"),
            "DATA/annotations/car.txt: lists no photo for 'car'",
        ),
        _breaks(
            lambda r: append(r / "annotations" / "dog.txt", "4\n"),
            "DATA/annotations/dog.txt:3: says photo 4 is 'dog', DATA/labels.tsv does not",
            "DATA/annotations/dog.txt:3: photo 4 is 'dog', but there is no im4.jpg",
        ),
        _breaks(
            lambda r: append(r / "annotations" / "dog.txt", "3\n"),
            "DATA/annotations/dog.txt:3: says photo 3 is 'dog', DATA/labels.tsv:3 does not",
        ),
        _breaks(
            lambda r: (r / "annotations" / "sky.txt").write_text("2\n3\n"),
            "DATA/labels.tsv:4: says photo 5 is 'sky', its annotation list does not",
        ),
        _breaks(
            lambda r: (r / "annotations" / "sky.txt").unlink(),
            "DATA/labels.tsv:2: label 'sky' has no annotation list",
            "DATA/labels.tsv:3: label 'sky' has no annotation list",
            "DATA/labels.tsv:4: label 'sky' has no annotation list",
        ),
        _breaks(
            lambda r: (r / "annotations" / "sky.txt").rename(r / "annotations" / "sea_r1.txt"),
            "DATA/annotations/sea.txt: missing, though there is sea_r1.txt",
        ),
        _breaks(lambda r: (r / "user_tags.tsv").write_text(""), "DATA/user_tags.tsv: holds no photo"),
        _breaks(lambda r: append(r / "user_tags.tsv", "x\tsky\n"), "DATA/user_tags.tsv:5: 'x' is not a photo id"),
        _breaks(
            lambda r: append(r / "user_tags.tsv", "5\tsky\n"),
            "DATA/user_tags.tsv:5: photo 5 is already at DATA/user_tags.tsv:4",
        ),
        _breaks(
            lambda r: append(r / "labels.tsv", "5\tsky\n"), "DATA/labels.tsv:5: photo 5 is already at DATA/labels.tsv:4"
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_data_is_said_with_file_and_line(
    root: Path, change: Callable[[Path], object], messages: tuple[str, ...]
) -> None:
    change(root)
    found = says(root)
    for message in messages:
        alternatives = message.split("|")
        assert any(line.startswith(a) for line in found for a in alternatives), (message, found)


def test_a_file_of_tags_without_its_photo_is_an_error(tmp_path: Path) -> None:
    root = flickr.as_published(tmp_path / "data")
    (root / "mirflickr" / "meta" / "tags" / "tags9.txt").write_text("lost\n")
    assert says(root) == ["DATA/mirflickr/meta/tags/tags9.txt: tags of no photo: no im9.jpg"]


@pytest.mark.parametrize(
    ("leave", "message"),
    [
        ((), "DATA: holds no imN.jpg, neither as files nor in zips"),
        (("im1.jpg",), "DATA: holds no annotations: no annotations/ or mirflickr25k_annotations_v080/, no labels.tsv"),
    ],
)
def test_a_folder_without_photos_or_annotations_says_what_it_looked_for(
    tmp_path: Path, leave: tuple[str, ...], message: str
) -> None:
    for name in leave:
        (tmp_path / name).write_bytes(flickr.jpeg(1))
    assert message.replace("DATA", str(tmp_path)) in [m.replace("DATA", str(tmp_path)) for m in says(tmp_path)]


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert says(tmp_path / "nowhere") == ["DATA: no such folder"]


def test_photos_taken_away_on_purpose_are_left_out_when_asked(root: Path) -> None:
    replace_photo(root, 1, None)
    found = read_folder(root, allow_absent=True)
    assert [photo.id for photo in found.photos] == [2, 3, 5]
    assert "photo 1 is 'dog'" in says(root)[0]


def test_a_label_that_no_photo_left_holds_is_still_an_error(root: Path) -> None:
    replace_photo(root, 2, None)
    assert says(root, allow_absent=True) == ["DATA/annotations/dog_r1.txt:1: no photo of 'dog_r1' is there"]


def test_oddities_are_counted_and_do_not_stop(root: Path) -> None:
    lists = {"dog": (1,), "dog_r1": (2,), "sky": (2, 3, 5)}
    flickr.with_tables(root, lists=lists)
    notes: list[str] = []
    read_folder(root, warn=notes.append)
    assert notes == ["1 photos are 'dog_r1' without the plain label", "1 photos have no user tags"]


def test_photos_with_the_same_bytes_are_counted(root: Path) -> None:
    replace_photo(root, 2, flickr.jpeg(1))
    notes: list[str] = []
    read_folder(root, warn=notes.append)
    assert "1 photos are byte for byte the same as another" in notes


# The command


def test_the_command_writes_a_manifest_and_says_how_it_split(root: Path, tmp_path: Path) -> None:
    code, output = run(root, "--out", tmp_path / "made" / "dataset.json")
    assert code == 0, output
    assert "4 photos" in output
    assert datasets.load(tmp_path / "made" / "dataset.json") == read_folder(root)


def test_the_command_shows_twenty_problems_counts_all_and_writes_nothing(root: Path, tmp_path: Path) -> None:
    append(root / "annotations" / "dog.txt", "".join(f"x{i}\n" for i in range(30)))
    append(root / "annotations" / "sky.txt", "99999\n")
    code, output = run(root, "--out", tmp_path / "dataset.json")
    assert code == 1
    assert output.count("error:") == 20
    assert "and 11 more" in output
    assert "31 problems: 30 x bad id, 1 x id out of range" in output
    assert not (tmp_path / "dataset.json").exists()


def test_a_manifest_is_replaced_whole_or_not_at_all(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dataset.json"
    path.write_text("before")
    monkeypatch.setattr("os.replace", _no_space)
    with pytest.raises(OSError, match="no space"):
        datasets.save(read_folder(root), path)
    assert path.read_text() == "before"
    assert list(tmp_path.glob(".dataset*")) == []


def _no_space(*_: object) -> None:
    raise OSError("no space")


# The split


def test_the_split_is_about_70_15_15_and_the_same_for_the_same_seed() -> None:
    parts = [part_of(i, seed=1) for i in range(1, 20_001)]
    shares = [parts.count(part) / 20_000 for part in datasets.PARTS]
    np.testing.assert_allclose(shares, (0.70, 0.15, 0.15), atol=0.01)
    assert parts == [part_of(i, seed=1) for i in range(1, 20_001)]
    assert parts != [part_of(i, seed=2) for i in range(1, 20_001)]


def test_the_split_never_changes_from_one_release_to_the_next() -> None:
    assert [part_of(i, seed=1) for i in (3, 5, 28, 29, 30)] == ["train", "train", "calibrate", "train", "train"]


def test_photos_that_are_added_move_no_other_photo(root: Path, tmp_path: Path) -> None:
    more = flickr.with_tables(tmp_path / "more", ids=(*flickr.IDS, 6, 7))
    assert read_folder(more).photos[:4] == tuple(
        replace(p, archive=q.archive) for p, q in zip(read_folder(root).photos, read_folder(more).photos, strict=False)
    )


def test_for_evaluation_all_photos_can_be_test_photos(root: Path) -> None:
    assert {photo.split for photo in read_folder(root, all_test=True).photos} == {"test"}


# The manifest


def test_photos_are_read_back_as_stored_from_threads_and_processes(root: Path) -> None:
    found = read_folder(root)
    expected = [flickr.jpeg(i) for i in flickr.IDS]
    assert [datasets.read_bytes(found, photo) for photo in found.photos] == expected
    jobs = [(found, photo) for photo in found.photos] * 20
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_read, jobs)) == expected * 20
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as processes:
        assert list(processes.map(_read, jobs[:4])) == expected


def _read(job: tuple[datasets.Dataset, datasets.Photo]) -> bytes:
    return datasets.read_bytes(*job)


def test_targets_are_a_matrix_of_photos_by_names_in_the_plain_or_the_strict_sense(root: Path) -> None:
    photos = read_folder(root).photos
    np.testing.assert_array_equal(datasets.targets(photos, ["sky", "dog"]), [[0, 1], [1, 1], [1, 0], [1, 0]])
    np.testing.assert_array_equal(datasets.targets(photos, ["dog"], strict=True), [[0], [1], [0], [0]])


def test_a_data_set_s_digest_follows_its_content_and_not_its_place(root: Path, tmp_path: Path) -> None:
    moved = root.rename(tmp_path / "moved")
    before = read_folder(moved)
    assert replace(before, root=tmp_path).digest() == before.digest()
    append(moved / "user_tags.tsv", "\n")
    assert read_folder(moved).digest() == before.digest()
    replace_photo(moved, 1, flickr.jpeg(8))
    assert read_folder(moved).digest() != before.digest()


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}'])
def test_what_is_no_manifest_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"dataset\.json: not a data set manifest"):
        datasets.load(path)


def test_a_manifest_says_what_the_others_in_training_rely_on(root: Path, tmp_path: Path) -> None:
    datasets.save(read_folder(root, seed=4), tmp_path / "dataset.json")
    manifest = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert manifest["format"] == 1
    assert manifest["seed"] == 4
    assert manifest["root"] == str(root)
    assert manifest["photos"][0].keys() == {
        "id", "archive", "file", "split", "labels", "strict", "user_tags", "digest"
    }  # fmt: skip

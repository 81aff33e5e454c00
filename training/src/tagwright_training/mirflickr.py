"""Reads a folder of MIRFlickr-25k: as it is published, and in the layout with zips and tables.

    imN.jpg, mirflickr/imN.jpg, deeper, or in zips                       the photos, full-size or not
    annotations/NAME.txt or mirflickr25k_annotations_v080/NAME.txt       one photo id a line
    labels.tsv                                                           the same by photo; must agree with the lists
    meta/tags/tagsN.txt, meta/tags_raw/tagsN.txt or user_tags.tsv        the owners' tags

(`meta` and the annotations may also lie in `mirflickr`.)

Promises: every file is read and every photo decoded in full; whatever is wrong is reported with file and line, all of
it at once.
Never: repairs data, guesses, or leaves something out unless it was told to.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from tagwright_training.dataset import content_digest, read_stored

MAX_ID = 25_000  # MIRFlickr-25k numbers its photos 1..25000
STRICT_SUFFIX = "_r1"
MAX_PIXELS = 32_000_000  # what the server accepts; a photo it would refuse teaches nothing

_ANNOTATION_FOLDERS = ("annotations", "mirflickr25k_annotations_v080")
_PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".webp"}
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `kind` to count by, `where` as file or file:line, `text` for people."""

    kind: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(slots=True)
class Folder:
    """What a folder says, and what is wrong with it. Nothing in it may be used while `problems` is not empty."""

    root: Path
    photos: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    """id -> (archive, file)."""
    digests: dict[int, str] = field(default_factory=dict)
    lists: dict[str, dict[int, str]] = field(default_factory=dict)
    """Label (strict ones with their suffix) -> id -> where that is said."""
    user_tags: dict[int, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def complain(self, kind: str, where: object, text: str) -> None:
        """Note one problem and go on."""
        self.problems.append(Problem(kind, str(where), text))


Advance = Callable[[int, int], None]
"""Called with (photos checked, photos in all)."""


def read(
    root: Path,
    *,
    user_tags: bool = True,
    allow_absent: bool = False,
    advance: Advance = lambda done, total: None,
) -> Folder:
    """Read and check a folder; without `user_tags` those are not looked at.

    With `allow_absent`, annotations and tags of photos that are not there are left out.
    """
    folder = Folder(root)
    if not root.is_dir():
        folder.complain("missing folder", root, "no such folder")
        return folder
    _find_photos(folder)
    _read_lists(folder)
    _read_labels_table(folder)
    if user_tags:
        _read_user_tags(folder)
    if allow_absent:
        _leave_out_absent(folder)
    else:
        _complain_of_absent(folder)
    _check_photos(folder, advance)
    _count_oddities(folder, user_tags)
    return folder


def _find_photos(folder: Folder) -> None:
    for file in _files(folder.root):
        name = file.relative_to(folder.root).as_posix()
        if file.suffix.lower() == ".zip":
            try:
                with zipfile.ZipFile(file) as archive:
                    members = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
            except (zipfile.BadZipFile, OSError) as err:
                folder.complain("unreadable archive", file, f"not a readable zip: {err}")
                continue
            for member in members:
                _note_photo(folder, name, member)
        else:
            _note_photo(folder, None, name)
    if not folder.photos and not folder.problems:
        folder.complain("missing photo", folder.root, "holds no imN.jpg, neither as files nor in zips")


def _note_photo(folder: Folder, archive: str | None, file: str) -> None:
    base = file.rpartition("/")[2]
    if os.path.splitext(base)[1].lower() not in _PHOTO_SUFFIXES or base.startswith("."):
        return
    where = _shown(folder.root, archive, file)
    match = re.fullmatch(r"im([0-9]{1,9})\.jpg", base, re.IGNORECASE)
    if match is None:
        folder.complain("bad photo name", where, "a photo's name must be imN.jpg")
        return
    photo_id = int(match[1])
    if not 1 <= photo_id <= MAX_ID:
        folder.complain("id out of range", where, f"photo id {photo_id} is not in 1..{MAX_ID}")
    elif photo_id in folder.photos:
        first = _shown(folder.root, *folder.photos[photo_id])
        folder.complain("duplicate photo", where, f"photo {photo_id} is already at {first}")
    else:
        folder.photos[photo_id] = (archive, file)


def _read_lists(folder: Folder) -> None:
    home = _first_folder(folder.root, _ANNOTATION_FOLDERS)
    if home is None:
        if not (folder.root / "labels.tsv").is_file():
            wanted = " or ".join(f"{name}/" for name in _ANNOTATION_FOLDERS)
            folder.complain("missing annotations", folder.root, f"holds no annotations: no {wanted}, no labels.tsv")
        return
    for file in sorted(home.glob("*.txt")):
        if file.stem.lower().startswith("readme"):
            continue
        ids: dict[int, str] = {}
        for where, text in _lines(folder, file):
            photo_id = _photo_id(folder, where, text)
            if photo_id is None:
                continue
            if photo_id in ids:
                folder.complain("duplicate id", where, f"photo {photo_id} is already listed at {ids[photo_id]}")
            else:
                ids[photo_id] = where
        if not ids:
            folder.complain("empty list", file, f"lists no photo for {file.stem!r}")
        folder.lists[file.stem] = ids
    if not folder.lists:
        folder.complain("missing annotations", home, "holds no NAME.txt")
    for name in folder.lists:
        if name.endswith(STRICT_SUFFIX) and name.removesuffix(STRICT_SUFFIX) not in folder.lists:
            plain = home / f"{name.removesuffix(STRICT_SUFFIX)}.txt"
            folder.complain("missing list", plain, f"missing, though there is {name}.txt")


def _read_labels_table(folder: Folder) -> None:
    table = folder.root / "labels.tsv"
    if not table.is_file():
        return
    rows = {photo_id: (where, fields) for where, photo_id, fields in _rows(folder, table)}
    said = [(name, photo_id, where) for photo_id, (where, fields) in rows.items() for name in " ".join(fields).split()]
    if not folder.lists:  # the table alone is the annotation
        for name, photo_id, where in said:
            folder.lists.setdefault(name, {})[photo_id] = where
        return
    for name, photo_id, where in said:
        if name not in folder.lists:
            folder.complain("unknown label", where, f"label {name!r} has no annotation list")
        elif photo_id not in folder.lists[name]:
            folder.complain("contradiction", where, f"says photo {photo_id} is {name!r}, its annotation list does not")
    in_table = {(name, photo_id) for name, photo_id, _ in said}
    for name, ids in folder.lists.items():
        for photo_id, where in ids.items():
            if (name, photo_id) not in in_table:
                there = rows[photo_id][0] if photo_id in rows else table
                folder.complain("contradiction", where, f"says photo {photo_id} is {name!r}, {there} does not")


def _read_user_tags(folder: Folder) -> None:
    table = folder.root / "user_tags.tsv"
    if table.is_file():
        for _, photo_id, fields in _rows(folder, table):
            folder.user_tags[photo_id] = tuple(tag for tag in fields if tag)
        return
    home = _first_folder(folder.root, ("meta/tags", "meta/tags_raw"))
    if home is None:
        folder.warnings.append(f"no user tags: neither user_tags.tsv nor meta/tags under {folder.root}")
        return
    raw = home.name == "tags_raw"
    for file in sorted(home.glob("*.txt")):
        owner = _photo_id(folder, str(file), file.stem.removeprefix("tags"))
        if owner is not None:
            tags = (text for _, text in _lines(folder, file))
            folder.user_tags[owner] = tuple(filter(None, map(_flickr_tag, tags) if raw else tags))


def _complain_of_absent(folder: Folder) -> None:
    said = ((name, photo_id, where) for name, ids in folder.lists.items() for photo_id, where in ids.items())
    for name, photo_id, where in said:
        if photo_id not in folder.photos:
            folder.complain("missing photo", where, f"photo {photo_id} is {name!r}, but there is no im{photo_id}.jpg")
    for photo_id in folder.user_tags.keys() - folder.photos.keys():
        folder.complain("missing photo", _tags_of(folder.root, photo_id), f"tags of no photo: no im{photo_id}.jpg")


def _leave_out_absent(folder: Folder) -> None:
    named = folder.user_tags.keys() | {photo_id for ids in folder.lists.values() for photo_id in ids}
    absent = named - folder.photos.keys()
    if absent:
        folder.warnings.append(f"{len(absent):,} photos that are not there were left out")
    for name, ids in folder.lists.items():
        folder.lists[name] = {photo_id: where for photo_id, where in ids.items() if photo_id not in absent}
        if ids and not folder.lists[name]:
            folder.complain("empty list", next(iter(ids.values())), f"no photo of {name!r} is there")
    folder.user_tags = {photo_id: tags for photo_id, tags in folder.user_tags.items() if photo_id not in absent}


def _check_photos(folder: Folder, advance: Advance) -> None:
    def check(item: tuple[int, tuple[str | None, str]]) -> tuple[int, str, str | None]:
        photo_id, (archive, file) = item
        try:
            data = read_stored(folder.root, archive, file)
            return photo_id, content_digest(data), _fault(data)
        except Exception as err:  # a decode boundary: Pillow and zipfile raise whatever a broken file makes them raise
            return photo_id, "", f"cannot be read: {str(err) or type(err).__name__}"

    total = len(folder.photos)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # threads: Pillow decodes outside the interpreter's lock
        for done, (photo_id, digest, fault) in enumerate(pool.map(check, sorted(folder.photos.items())), start=1):
            folder.digests[photo_id] = digest
            if fault:
                folder.complain("unreadable photo", _shown(folder.root, *folder.photos[photo_id]), fault)
            advance(done, total)


def _fault(data: bytes) -> str | None:
    if not data:
        return "cannot be read: the file is empty"
    with Image.open(io.BytesIO(data)) as photo:
        if photo.format not in ("JPEG", "MPO"):
            return f"cannot be used: it is a {photo.format}, not a JPEG"
        if photo.width * photo.height > MAX_PIXELS:
            return f"cannot be used: {photo.width} x {photo.height} is more than {MAX_PIXELS:,} pixels"
        photo.load()  # decodes to the last row: a truncated file raises here
    return None


def _count_oddities(folder: Folder, user_tags: bool) -> None:
    for name, ids in folder.lists.items():
        plain = folder.lists.get(name.removesuffix(STRICT_SUFFIX), ids)
        if beyond := ids.keys() - plain.keys():
            folder.warnings.append(f"{len(beyond):,} photos are {name!r} without the plain label")
    untagged = folder.photos.keys() - {photo_id for photo_id, tags in folder.user_tags.items() if tags}
    if user_tags and untagged:
        folder.warnings.append(f"{len(untagged):,} photos have no user tags")
    if twins := len(folder.digests) - len(set(folder.digests.values())):
        folder.warnings.append(f"{twins:,} photos are byte for byte the same as another")


def _files(root: Path) -> Iterator[Path]:
    for home, folders, files in os.walk(root, followlinks=True):
        depth = len(Path(home).relative_to(root).parts)
        skipped = {"meta", "doc", *_ANNOTATION_FOLDERS}
        folders[:] = sorted(f for f in folders if f not in skipped and f[0] != "." and depth < _MAX_DEPTH)
        yield from (Path(home, file) for file in sorted(files))


def _rows(folder: Folder, table: Path) -> Iterable[tuple[str, int, list[str]]]:
    rows: dict[int, tuple[str, int, list[str]]] = {}
    for where, text in _lines(folder, table, strip="\r\n"):
        first, *fields = text.split("\t")
        photo_id = _photo_id(folder, where, first)
        if photo_id is None:
            continue
        if photo_id in rows:
            folder.complain("duplicate id", where, f"photo {photo_id} is already at {rows[photo_id][0]}")
        else:
            rows[photo_id] = (where, photo_id, fields)
    if not rows:
        folder.complain("empty list", table, "holds no photo")
    return rows.values()


def _lines(folder: Folder, file: Path, *, strip: str | None = None) -> Iterator[tuple[str, str]]:
    """Lines that say something, each with its `file:line`. Bytes that are no UTF-8 become U+FFFD and are counted."""
    try:
        data = file.read_bytes()
    except OSError as err:
        folder.complain("unreadable list", file, f"cannot be read: {err.strerror}")
        return
    text = data.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    if "\ufffd" in text:
        folder.warnings.append(f"{file} is not UTF-8 throughout")
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: tags hold U+2028 and the like
        if line.strip():
            yield f"{file}:{number}", line.strip(strip)


def _photo_id(folder: Folder, where: str, text: str) -> int | None:
    if not re.fullmatch("[0-9]{1,9}", text.strip()):
        folder.complain("bad id", where, f"{text[:40]!r} is not a photo id")
        return None
    photo_id = int(text)
    if not 1 <= photo_id <= MAX_ID:
        folder.complain("id out of range", where, f"photo id {photo_id} is not in 1..{MAX_ID}")
        return None
    return photo_id


def _flickr_tag(text: str) -> str:
    """A tag as typed -> as Flickr matches it: lower case, letters and digits only (machine tags keep `:=`)."""
    return "".join(c for c in text.lower() if c.isalnum() or c in ":=")


def _first_folder(root: Path, names: Iterable[str]) -> Path | None:
    places = (home / name for name in names for home in (root, root / "mirflickr"))
    return next((place for place in places if place.is_dir()), None)


def _tags_of(root: Path, photo_id: int) -> Path:
    table = root / "user_tags.tsv"
    home = _first_folder(root, ("meta/tags", "meta/tags_raw"))
    return table if table.is_file() or home is None else home / f"tags{photo_id}.txt"


def _shown(root: Path, archive: str | None, file: str) -> str:
    return str(root / file) if archive is None else f"{root / archive}:{file}"

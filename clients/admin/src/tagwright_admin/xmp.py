"""XMP sidecars: reads keywords as photo managers write them, and writes them so that managers and we read them again.

Promises: whatever is in a file, reading it takes time and memory in proportion to its size (no document types, hence
no entities, and nothing is fetched), and raises nothing but NotXmp. What is written is well-formed for any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from tagwright_admin.tag_records import (
    CONFIRMED,
    REJECTED,
    PhotoRecord,
    TagRecord,
    check_names_photo,
    score_of,
    score_text,
    state_of,
)

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
_DIGIKAM_TAGS = "{http://www.digikam.org/ns/1.0/}TagsList"
_LIGHTROOM_TAGS = "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject"
_OURS = "{urn:tagwright:xmp:1.0/}"
_BAD = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 has no way to write
_DEEPEST = 64  # elements inside one another; real files have about 8, and ElementTree frees them recursively

_FILE = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:tagwright="urn:tagwright:xmp:1.0/"
    tagwright:sourceSha256={sha256}
    tagwright:imageId={image_id}
    tagwright:owner={owner}>
{bags}  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


class NotXmp(ValueError):
    """The bytes are no XMP; the text says why."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photo with its tags, as a sidecar is to hold them."""

    source_sha256: str
    image_id: str
    owner: str
    tags: Sequence[TagRecord]


def keywords(data: bytes) -> list[str]:
    """Return the keywords of a sidecar: dc:subject, then the last part of each of digiKam's and Lightroom's paths."""
    root = _parsed(data)
    found = list(_items(root, _SUBJECT))
    found += [path.rstrip("/").rpartition("/")[2] for path in _items(root, _DIGIKAM_TAGS)]
    found += [path.rstrip("|").rpartition("|")[2] for path in _items(root, _LIGHTROOM_TAGS)]
    return [word for word in found if word]


def subjects(data: bytes) -> list[str]:
    """Return what is in dc:subject alone, which is what the server reads of a photo's own XMP. Raises NotXmp."""
    return list(_items(_parsed(data), _SUBJECT))


def write(photo: Labelled) -> str:
    """Return the sidecar of a photo. Rejected tags are in the part of our own alone, which no photo manager reads."""
    names = [tag.name for tag in photo.tags if tag.state != REJECTED]
    bags = [
        _bag("dc:subject", "Bag", (f"<rdf:li>{_text(name)}</rdf:li>" for name in names)),
        # A name with the separator in it would be read as a path: such tags are in dc:subject alone.
        _bag("digiKam:TagsList", "Seq", (f"<rdf:li>{_text(name)}</rdf:li>" for name in names if "/" not in name)),
        _bag("lr:hierarchicalSubject", "Bag", (f"<rdf:li>{_text(name)}</rdf:li>" for name in names if "|" not in name)),
        _bag("tagwright:tags", "Seq", (_own(tag) for tag in photo.tags)),
    ]
    return _FILE.format(
        sha256=quoteattr(_clean(photo.source_sha256)),
        image_id=quoteattr(_clean(photo.image_id)),
        owner=quoteattr(_clean(photo.owner)),
        bags="".join(bags),
    )


def read(data: bytes, *, where: str) -> PhotoRecord:
    """Return which photo a sidecar of ours is about, and its tags. Raises NotXmp.

    Keywords that a photo manager added since are confirmed: a person typed them. Those that were taken away there are
    left out: nothing is said about them.
    """
    root = _parsed(data)
    about = next((each for each in root.iter(f"{_RDF}Description") if f"{_OURS}sourceSha256" in each.attrib), None)
    if about is None:
        raise NotXmp("it does not say which photo it is about (tagwright:sourceSha256)")
    subjects = dict.fromkeys(_items(root, _SUBJECT))
    sha256, image_id = about.attrib[f"{_OURS}sourceSha256"].lower(), about.get(f"{_OURS}imageId", "")
    try:
        check_names_photo(sha256, image_id)
        own = list(_own_tags(about))
    except ValueError as err:
        raise NotXmp(str(err)) from err
    known = {tag.name: tag for tag in own}
    tags = [tag for tag in own if tag.state == REJECTED and tag.name not in subjects]
    for name in subjects:
        tag = known.get(name)
        tags.append(tag if tag is not None and tag.state != REJECTED else TagRecord(name, CONFIRMED, None))
    return PhotoRecord(
        where=where,
        source_sha256=sha256,
        image_id=image_id,
        owner=about.get(f"{_OURS}owner", ""),
        tags=tuple(tags),
    )


def _parsed(data: bytes) -> ElementTree.Element:
    depth = 0

    def refuse(*_: object) -> None:
        raise NotXmp("it has a document type, which no XMP has")

    def enter(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise NotXmp("its elements are nested too deeply")

    def leave(_: str) -> None:
        nonlocal depth
        depth -= 1

    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = refuse
    guard.StartElementHandler = enter
    guard.EndElementHandler = leave
    try:
        guard.Parse(data, True)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as err:  # LookupError: of an encoding
        if isinstance(err, NotXmp):
            raise
        raise NotXmp(f"it is no XML: {err}") from err


def _items(root: ElementTree.Element, name: str) -> Iterator[str]:
    for held in root.iter(name):
        for item in held.iter(f"{_RDF}li"):
            text = " ".join("".join(item.itertext()).split())
            if text:
                yield text


def _own_tags(about: ElementTree.Element) -> Iterator[TagRecord]:
    for item in about.iterfind(f"{_OURS}tags/{_RDF}Seq/{_RDF}li"):
        name = item.findtext(f"{_OURS}name") or item.get(f"{_OURS}name") or ""
        state = item.findtext(f"{_OURS}state") or item.get(f"{_OURS}state") or ""
        score = item.findtext(f"{_OURS}score") or item.get(f"{_OURS}score") or ""
        if not name:
            raise ValueError("a tag of it has no name")
        yield TagRecord(name, state_of(state), score_of(score))


def _own(tag: TagRecord) -> str:
    score = f"<tagwright:score>{score_text(tag.score)}</tagwright:score>" if tag.score is not None else ""
    return (
        f'<rdf:li rdf:parseType="Resource"><tagwright:name>{_text(tag.name)}</tagwright:name>'
        f"<tagwright:state>{_text(tag.state)}</tagwright:state>{score}</rdf:li>"
    )


def _bag(name: str, kind: str, items: Iterable[str]) -> str:
    held = "".join(f"     {item}\n" for item in items)
    return f"   <{name}>\n    <rdf:{kind}>\n{held}    </rdf:{kind}>\n   </{name}>\n" if held else ""


def _text(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    return _BAD.sub("", text)

"""What a photo says of itself: which way is up, when it was taken, its keywords. Strangers wrote it.

Promises: an answer whatever the metadata are, never an error: a photo that decodes is not lost for what is written
beside its pixels. What is not understood is not there.
Must never: let a document type or an entity into the XML parser; search a part of a packet twice (a nest of lists in
lists would take the square of its size).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

from PIL import ExifTags, Image
from PIL.IptcImagePlugin import getiptcinfo
from PIL.JpegImagePlugin import JpegImageFile

KEYWORDS_MAX = 256
KEYWORD_CHARACTERS_MAX = 128
YEARS = range(1826, 2101)  # from the first photograph on; cameras whose clock was never set say 0 or 9999

_MOMENTS = (  # EXIF 2.32, section 4.6.5: the moment, and the offset of its time zone
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
)
_MOMENT = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)

_IPTC_KEYWORDS = (2, 25)
_XMP_BYTES_MAX = 2**20
_DECLARATION = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
_ITEM = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"


def orientation(photo: Image.Image) -> int:
    """Give the EXIF orientation; 1, which is upright, where none can be read."""
    try:
        return int(photo.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF is common and harmless: the photo itself decoded
        return 1


def captured(photo: Image.Image) -> datetime | None:
    """Give when it was taken, else digitised, in UTC; a time without a zone is read as UTC."""
    try:
        exif = photo.getexif().get_ifd(ExifTags.IFD.Exif)
        moments = [_moment(exif.get(moment), exif.get(offset)) for moment, offset in _MOMENTS]
    except Exception:  # as above
        return None
    return next((moment for moment in moments if moment is not None), None)


def keywords(photo: Image.Image) -> tuple[str, ...]:
    """Give its IPTC keywords, then those of its XMP, in their order and without doubles."""
    words = (text.strip("\0").strip() for text in (*_iptc(photo), *_xmp(photo)))
    # No word holds a line's end, a NUL or the like.
    fit = (word for word in words if word and len(word) <= KEYWORD_CHARACTERS_MAX and min(word) >= " ")
    return tuple(dict.fromkeys(fit))[:KEYWORDS_MAX]


def _moment(text: object, offset: object) -> datetime | None:
    found = _MOMENT.fullmatch(text.strip(" \0")) if isinstance(text, str) else None
    if found is None:
        return None
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return moment - _ahead(offset) if moment.year in YEARS else None


def _ahead(offset: object) -> timedelta:
    """By how much that zone is ahead of UTC."""
    found = _OFFSET.fullmatch(offset.strip(" \0")) if isinstance(offset, str) else None
    if found is None:
        return timedelta()
    hours, minutes = int(found[2]), int(found[3])
    if hours > 14 or minutes > 59:  # no zone of the world is farther ahead
        return timedelta()
    ahead = timedelta(hours=hours, minutes=minutes)
    return ahead if found[1] == "+" else -ahead


def _iptc(photo: Image.Image) -> list[str]:
    if not isinstance(photo, JpegImageFile):
        return []
    try:
        found = (getiptcinfo(photo) or {}).get(_IPTC_KEYWORDS, [])
    except Exception:  # the library raises SyntaxError, OSError and others over a block that is damaged
        return []
    return [_text(raw) for raw in (found if isinstance(found, list) else [found]) if raw]


def _text(raw: bytes) -> str:
    # 1:90 would say which of the two it is; many programs write UTF-8 and leave it out, and no Latin-1 word with an
    # accent happens to be UTF-8.
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _xmp(photo: Image.Image) -> list[str]:
    packet = photo.info.get("xmp")
    if not isinstance(packet, bytes) or len(packet) > _XMP_BYTES_MAX:
        return []
    try:
        text = packet.decode("utf-8").strip("\0\ufeff \r\n\t")  # in these three formats it has no other encoding
        if _DECLARATION.search(text):
            return []
        subjects = ElementTree.fromstring(text).iter(_SUBJECT)  # noqa: S314  (no entities: looked at above)
        return [item.text or "" for subject in subjects for item in subject.findall(f"*/{_ITEM}")]
    except Exception:  # ParseError, mostly
        return []

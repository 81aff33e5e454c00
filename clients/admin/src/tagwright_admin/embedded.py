"""The keywords that a photo itself carries (IPTC, XMP), for where the server does not read them: it does on storing.

Promises: an answer whatever the bytes are, never an error; the words that the server finds on storing, in its order.
Never looks at a pixel, and never takes more memory than the photo has bytes and a packet of XMP may have.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from tagwright_admin import xmp

_PACKET_BYTES_MAX = 2**20  # of XMP, as the server takes it
_JPEG, _PNG, _RIFF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF"
_SCAN, _END = 0xDA, 0xD9  # from here on a JPEG holds pixels
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers that no length follows
_APP1, _APP13 = 0xE1, 0xED
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC = 0x0404  # the image resource that holds it
_KEYWORD = (2, 25)  # record and dataset, IPTC-IIM 4.2
_XMP_IN_PNG = b"XML:com.adobe.xmp\0"
_XMP_IN_WEBP = b"XMP "


def keywords(data: bytes) -> list[str]:
    """Return the keywords of an encoded photo: those of IPTC (JPEG only), then those of XMP; each once."""
    iptc: list[bytes] = []
    packet = b""
    if data.startswith(_JPEG):
        for marker, body in _segments(data):
            if marker == _APP1 and body.startswith(_XMP_IN_JPEG):
                packet = body[len(_XMP_IN_JPEG) :]
            elif marker == _APP13 and body.startswith(_PHOTOSHOP):
                iptc = _keywords_of_iptc(_resource(body[len(_PHOTOSHOP) :], _IPTC)) or iptc
    elif data.startswith(_PNG):
        for kind, body in _chunks(data, len(_PNG), order=">", kind_first=False):
            if kind == b"iTXt" and body.startswith(_XMP_IN_PNG):
                packet = _international_text(body[len(_XMP_IN_PNG) :])
    elif data.startswith(_RIFF) and data[8:12] == b"WEBP":
        for kind, body in _chunks(data, 12, order="<", kind_first=True):
            if kind == _XMP_IN_WEBP:
                packet = body
    words = (text.strip("\0").strip() for text in (*map(_text, iptc), *_subjects(packet)))
    return list(dict.fromkeys(word for word in words if word))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Go through a JPEG's markers up to its pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in (_SCAN, _END):
            return
        if marker == 0xFF or marker in _ALONE:  # 0xFF: filling
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def _chunks(data: bytes, at: int, *, order: str, kind_first: bool) -> Iterator[tuple[bytes, bytes]]:
    """Go through the chunks of a PNG (length, kind, body, checksum) or of a WebP (kind, length, body, to even)."""
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(f"{order}I", data, at + (4 if kind_first else 0))
        kind = data[at : at + 4] if kind_first else data[at + 4 : at + 8]
        if kind in (b"iTXt", _XMP_IN_WEBP):  # what is not of interest is not copied
            yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + (length % 2 if kind_first else 4)


def _international_text(rest: bytes) -> bytes:
    """Return the text of a PNG's iTXt chunk, what follows its keyword: flag, method, language, translation, text."""
    compressed, method = rest[:1] == b"\1", rest[1:2]
    text = rest[2:].split(b"\0", 2)[-1] if rest[2:].count(b"\0") >= 2 else b""
    if not compressed:
        return text
    try:
        return zlib.decompressobj().decompress(text, _PACKET_BYTES_MAX + 1) if method == b"\0" else b""
    except zlib.error:
        return b""


def _resource(data: bytes, wanted: int) -> bytes:
    """Return one of Photoshop's image resources: 8BIM, number, name, size, data; names and data to even lengths."""
    at = 0
    while at + 12 <= len(data) and data[at : at + 4] == b"8BIM":
        number, name_length = struct.unpack_from(">HB", data, at + 4)
        at += 6 + (1 + name_length + 1) // 2 * 2
        if at + 4 > len(data):
            break
        (size,) = struct.unpack_from(">I", data, at)
        if number == wanted:
            return data[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
    return b""


def _keywords_of_iptc(block: bytes) -> list[bytes]:
    """Return the keywords of an IPTC block; none where it is damaged, as the rest may be anything then."""
    found: list[bytes] = []
    at = 0
    while block[at : at + 5].strip(b"\0"):
        if at + 5 > len(block) or block[at] != 0x1C:
            return []
        record, dataset, length = struct.unpack_from(">BBH", block, at + 1)
        if length & 0x8000 or at + 5 + length > len(block):  # the high bit: a length of more than 32 KiB
            return []
        if (record, dataset) == _KEYWORD:
            found.append(block[at + 5 : at + 5 + length])
        at += 5 + length
    return found


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:  # as the server takes it: what is no UTF-8 was written by an old program in the west
        return raw.decode("latin-1")


def _subjects(packet: bytes) -> list[str]:
    packet = packet.strip(b"\0 \r\n\t")
    if not packet or len(packet) > _PACKET_BYTES_MAX:
        return []
    try:
        return xmp.subjects(packet)
    except xmp.NotXmp:
        return []

"""A number for how a photo looks, near for photos that look the same: re-encoded or scaled copies of each other."""

from __future__ import annotations

from PIL import Image

from tagwright_server.images.preprocess import on_white, resizable

_COLUMNS, _ROWS = 9, 8


def difference_hash(picture: Image.Image) -> int:
    """Give 64 bits, rows from the top: whether each of 8 x 8 fields is darker than its neighbour to the right.

    The number of bits in which two differ says how different they look (dHash: N. Krawetz, hackerfactor.com, 2013).
    """
    whole = resizable(picture)
    # Grey before it is small, and by the filter that rings: rounded later, or smoothed more, copies differ in twice as
    # many bits.
    small = whole.convert("LA" if "A" in whole.mode else "L").resize((_COLUMNS, _ROWS), Image.Resampling.LANCZOS)
    grey = on_white(small).convert("L").tobytes()
    bits = 0
    for row in range(0, _COLUMNS * _ROWS, _COLUMNS):
        for at in range(row, row + _COLUMNS - 1):
            bits = bits << 1 | (grey[at] < grey[at + 1])
    return bits

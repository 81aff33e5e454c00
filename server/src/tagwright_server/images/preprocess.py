"""How a photo becomes the square a network looks at: the one definition that training, evaluation and serving share.

Promises: the same pixels and the same `Preprocessing` give the same square, on every machine with the same Pillow.
Must never: depend on a model, a setting or a file; read bytes (that is `decode`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageChops

CROPS = ("center-square",)
FILTERS = {  # all of them antialiased: their support grows with the reduction
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_SIDES = range(16, 1025)
_RESIZABLE = ("L", "LA", "RGB", "RGBA")  # Pillow weighs colours by their alpha when it resizes LA and RGBA


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a model's manifest says of its input: the side of its square in pixels, the crop and the filter."""

    size: int
    crop: str = "center-square"
    filter: str = "bicubic"

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size not in _SIDES:
            raise ValueError(f"preprocessing: size is {self.size!r}, not a number from {_SIDES[0]} to {_SIDES[-1]}")
        if self.crop not in CROPS:
            raise ValueError(f"preprocessing: crop is {self.crop!r}, not one of {', '.join(CROPS)}")
        if self.filter not in FILTERS:
            raise ValueError(f"preprocessing: filter is {self.filter!r}, not one of {', '.join(FILTERS)}")

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, object]) -> Preprocessing:
        """Read the manifest's `preprocessing`; raises ValueError, one clear line, for anything but our three keys."""
        if set(manifest) != {"crop", "size", "filter"}:
            found = ", ".join(sorted(manifest)) or "nothing"
            raise ValueError(f"preprocessing: expected crop, size and filter, found {found}")
        size, crop, resample = manifest["size"], manifest["crop"], manifest["filter"]
        if not isinstance(size, int) or not isinstance(crop, str) or not isinstance(resample, str):
            raise ValueError("preprocessing: size is a number, crop and filter are texts")
        return cls(size=size, crop=crop, filter=resample)

    def to_manifest(self) -> dict[str, object]:
        """Give the manifest's `preprocessing`, which `from_manifest` reads back."""
        return {"crop": self.crop, "size": self.size, "filter": self.filter}


def square(photo: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Cut the largest centred square out of `photo` and scale it to `size`; RGB, whatever the photo's mode was.

    The cut may begin on half a pixel, so that turning or mirroring the photo turns or mirrors the result.
    What is transparent becomes white: resizing first and laying on white afterwards is the same, and cheaper.
    """
    width, height = photo.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    scaled = resizable(photo).resize(
        (preprocessing.size, preprocessing.size),
        FILTERS[preprocessing.filter],
        box=(left, top, left + side, top + side),
    )
    return on_white(scaled)


def resizable(photo: Image.Image) -> Image.Image:
    """Give the photo in a mode that Pillow scales well: L, LA, RGB or RGBA."""
    if photo.mode.startswith("I"):  # 16 bits a sample: Pillow's own conversion clips instead of scaling
        return _eight_bits(photo)
    if photo.has_transparency_data:  # an alpha band, or a colour or palette entry declared transparent
        return photo if photo.mode in _RESIZABLE else photo.convert("RGBA")
    return photo if photo.mode in _RESIZABLE else photo.convert("RGB")


def on_white(picture: Image.Image) -> Image.Image:
    """Lay what is transparent on white; RGB."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _eight_bits(photo: Image.Image) -> Image.Image:
    samples = photo.convert("I")
    clear = samples.info.pop("transparency", None)  # of 65536 greys, the one that is transparent (PNG's tRNS)
    grey = samples.point(lambda sample: sample * (1 / 257)).convert("L")
    if clear is None:
        return grey
    above = samples.point(lambda sample: sample * 1 - clear).convert("L")  # here the clipping is what we want:
    below = samples.point(lambda sample: sample * -1 + clear).convert("L")  # both are 0 for that grey alone
    alpha = ImageChops.lighter(above, below).point([0] + [255] * 255)
    return Image.merge("LA", (grey, alpha))

"""A page with the photos that were found, for browsers: one file that needs nothing else and runs nothing.

Pictures are in the page itself. All text is escaped, and the page's own policy lets a browser load nothing and run no
script, whatever a tag or a file name says.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import IO

from tagwright_admin.hits import Hit
from tagwright_admin.image_screen import when
from tagwright_admin.screen import safe
from tagwright_admin.tag_records import REJECTED
from tagwright_client import Facet, TagMatch

_TAGS_SHOWN = 8
_STYLE = """
:root { color-scheme: light dark; --page: #f5f5f2; --card: #fff; --ink: #1c1d1f; --soft: #65686d; --line: #dfdfda;
  --fill: #0b7285; --track: #e7e9e8; --same: #8a5a00; --mat: #ecece8; }
@media (prefers-color-scheme: dark) { :root { --page: #131416; --card: #1d1f22; --ink: #ececea; --soft: #9a9ea5;
  --line: #303338; --fill: #3bc9db; --track: #2c2f34; --same: #ffc25c; --mat: #17181a; } }
* { box-sizing: border-box; margin: 0; }
body { background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  max-width: 1500px; margin: 0 auto; padding: 32px clamp(16px, 3vw, 48px) 48px; }
header { display: flex; gap: 20px; align-items: center; margin-bottom: 24px; }
header img { width: 96px; height: 96px; object-fit: cover; border-radius: 8px; flex: none; }
h1 { font-size: 1.6rem; line-height: 1.25; letter-spacing: -.01em; font-weight: 650; }
header p, .about, .reasons, .id, footer { color: var(--soft); }
header p { margin-top: 4px; }
h2 { font-size: .8rem; font-weight: 600; color: var(--soft); margin-bottom: 8px; }
ol, ul { list-style: none; padding: 0; }
.facets { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px;
  margin-bottom: 24px; }
.facets ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 6px 32px; }
.facets li { display: grid; grid-template-columns: minmax(0, 1fr) 80px 3.2em; gap: 10px; align-items: center; }
.number { font-variant-numeric: tabular-nums; text-align: right; }
.hits { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(250px, 100%), 1fr)); gap: 18px; }
.hits li { background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden;
  display: flex; flex-direction: column; }
.picture { background: var(--mat); aspect-ratio: 4 / 3; display: grid; place-items: center; color: var(--soft);
  position: relative; }
.picture img { position: absolute; width: 100%; height: 100%; object-fit: contain; }
.text { padding: 12px 14px 14px; display: grid; gap: 6px; align-content: start; }
.score { display: grid; grid-template-columns: 2.2em 1fr auto; gap: 10px; align-items: center; }
.rank { color: var(--soft); }
svg { width: 100%; height: 6px; border-radius: 3px; display: block; background: var(--track); }
rect { fill: var(--fill); }
.name { font-weight: 600; }
.about { font-size: .85rem; }
.remark { color: var(--same); font-weight: 600; display: block; }
.tags { display: flex; flex-wrap: wrap; gap: 4px; }
.tags li { display: inline; background: var(--track); border: 0; border-radius: 5px; padding: 1px 7px;
  font-size: .82rem; }
.reasons { display: grid; gap: 3px; }
.reasons li { display: block; background: none; border-radius: 0; padding: 0; }
strong { color: var(--ink); }
.id { font: .7rem/1.4 ui-monospace, "DejaVu Sans Mono", monospace; user-select: all; }
footer { margin-top: 32px; font-size: .8rem; }
@media print { body { padding: 0; } .hits li, .facets { break-inside: avoid; } }
"""
_STYLE_SHA256 = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_STYLE_SHA256}'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands above the photos: a title, a line about them, the example's thumbnail, and the facets of `total`."""

    title: str
    about: str
    example: bytes | None = None
    facets: tuple[Facet, ...] = ()
    total: int = 0


def write(file: IO[str], sheet: Sheet, hits: Sequence[Hit], pictures: Iterable[bytes | None]) -> None:
    """Write the page; `pictures` are the photos' thumbnails as JPEG, None where there is none."""
    title = _text(sheet.title)
    file.write(
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<header>\n"
    )
    if sheet.example is not None:
        file.write(f'<img src="{_data(sheet.example)}" alt="The example">\n')
    file.write(f"<div><h1>{title}</h1><p>{_text(sheet.about)}</p></div>\n</header>\n")
    if sheet.facets:
        file.write('<section class="facets"><h2>Also tagged</h2><ul>\n')
        file.writelines(_facet(facet, sheet.total) for facet in sheet.facets)
        file.write("</ul></section>\n")
    file.write('<main><ol class="hits">\n')
    for hit, picture in zip(hits, pictures, strict=True):
        file.write(_hit(hit, picture))
    file.write("</ol></main>\n<footer>Made by tagwright. Whoever has this file has these pictures.</footer>\n")
    file.write("</body>\n</html>\n")


def _facet(facet: Facet, total: int) -> str:
    share = facet.count / total if total else 0.0
    return f'<li><span>{_text(facet.tag)}</span>{_bar(share)}<span class="number">{facet.count:,}</span></li>\n'


def _hit(hit: Hit, picture: bytes | None) -> str:
    image = hit.image
    name = _text(image.file_name or image.id)
    shown = f'<img src="{_data(picture)}" alt="{name}" loading="lazy">' if picture is not None else "no picture"
    remark = f' <span class="remark">{_text(hit.remark)}</span>' if hit.remark else ""
    return (
        f'<li><div class="picture">{shown}</div>\n<div class="text">'
        f'<div class="score"><span class="rank">{hit.rank}</span>{_bar(hit.score)}'
        f'<span class="number">{hit.score:.2f}</span></div>\n'
        f'<div class="name">{name}</div>\n'
        f'<div class="about">{_text(image.owner)}, {_text(when(image.create_time))}{remark}</div>\n'
        f"{_tags(hit)}"
        f'<div class="id">{_text(image.id)}</div>\n</div></li>\n'
    )


def _tags(hit: Hit) -> str:
    """Return the tags that matched and why; where none was asked for, the photo's own."""
    if hit.matches:
        return f'<ul class="tags reasons">{"".join(map(_reason, hit.matches))}</ul>\n'
    names = [tag.name for tag in hit.image.tags if tag.state != REJECTED][:_TAGS_SHOWN]
    return f'<ul class="tags">{"".join(f"<li>{_text(name)}</li>" for name in names)}</ul>\n' if names else ""


def _reason(match: TagMatch) -> str:
    name = match.tag.name
    if match.why.startswith(name):
        return f"<li><strong>{_text(name)}</strong>{_text(match.why[len(name) :])}</li>"
    return f"<li>{_text(match.why)}</li>"


def _bar(share: float) -> str:
    width = 100 * min(max(share, 0.0), 1.0)
    # A width as an attribute of SVG: as a style of its own the policy would have to let all styles in.
    return (
        '<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.1f}" height="6"/></svg>'
    )


def _data(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def _text(text: str) -> str:
    return escape(safe(text))

"""A page of examples for a browser: photos with their tags before and after refinement, and why.

Promises: one HTML file that asks for nothing else: photos are in it as small JPEGs, there is no script, and whatever
people typed is text.
Never: chooses only what went well: mistakes have a section of their own.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwright_server.refinement.records import Decision, TagDecision

Pixels = NDArray[np.uint8]

EACH = 8  # photos of a section
_REASONS = 3  # of a decision; the others weigh less
_TAGS = 24  # of a photo, that nothing happens to

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #333; background: #fafafa; }
body { margin: 0 auto; max-width: 70rem; padding: 2rem 1rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .2rem; }
.lead { color: #666; margin: .2rem 0 1rem; max-width: 46rem; }
article { display: grid; grid-template-columns: 200px 1fr; gap: 1.2rem; margin: .8rem 0; padding: 1rem; }
article { background: #fff; border: 1px solid #e6e6e6; border-radius: 10px; }
article img { width: 200px; height: 200px; border-radius: 6px; display: block; }
article small { color: #999; }
dl { display: grid; grid-template-columns: 3.6rem 1fr; gap: .25rem .6rem; margin: 0; }
dt { color: #999; font-size: .82rem; padding-top: .15rem; }
dd { margin: 0; }
.tag { display: inline-block; border-radius: 99px; padding: 0 .6rem; margin: 0 .25rem .25rem 0; }
.tag { background: #eee; overflow-wrap: anywhere; }
.remove { background: #fbe3e0; color: #a12b1c; }
.was.remove { text-decoration: line-through; }
.add { background: #dff0df; color: #2a6a2a; }
.unsure { background: #fdf0d0; color: #7d5a00; }
.unseen { background: none; border: 1px dashed #ccc; color: #777; }
ul { margin: .5rem 0 0; padding: .5rem 0 0; border-top: 1px solid #f0f0f0; list-style: none; }
li { margin: .3rem 0; }
li i { color: #666; font-style: normal; display: block; font-size: .86rem; margin-left: .6rem; }
.verdict { font-size: .82rem; margin-left: .5rem; color: #777; }
.right { color: #2a6a2a; }
.wrong { color: #a12b1c; }
@media (max-width: 40rem) { article { grid-template-columns: 1fr; } }
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One photo: its row, its owner's tags, what was decided, and what the experts say of tags that a label means."""

    row: int
    name: str
    tags: tuple[str, ...]
    decisions: tuple[TagDecision, ...]
    truth: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Section:
    """Examples of one kind."""

    title: str
    lead: str
    examples: tuple[Example, ...]


def choose(examples: Sequence[Example], *, each: int = EACH, seed: int = 1) -> list[Section]:
    """Sections of photos drawn by chance among those that show something; no photo twice, mistakes chosen first."""
    rng = np.random.default_rng(seed)
    order = [examples[i] for i in rng.permutation(len(examples)).tolist()]
    taken: set[int] = set()

    def section(title: str, lead: str, shows: Callable[[Example], bool]) -> Section:
        found = [example for example in order if example.row not in taken and shows(example)][:each]
        taken.update(example.row for example in found)
        return Section(title, lead, tuple(found))

    mistakes = section("Mistakes", "Tags removed or added that the experts' labels contradict.", _is_mistaken)
    return [
        section("Wrong tags removed", "The owner's tag means a label that the experts did not see.", _removes_rightly),
        section("Missing tags added", "The owner had no word for it, and the experts see it.", _adds_rightly),
        section("Left to a person", "Too doubtful to keep, too likely to remove.", _leaves_open),
        mistakes,
    ]


def render(title: str, lead: str, sections: Sequence[Section], photo: Callable[[int], Pixels]) -> str:
    """The page; `photo` gives the pixels of a row, uint8 [side, side, 3]."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>',
    ]
    for section in sections:
        if section.examples:
            parts.append(f'<h2>{escape(section.title)}</h2><p class="lead">{escape(section.lead)}</p>')
            parts += [_article(example, photo(example.row)) for example in section.examples]
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _article(example: Example, pixels: Pixels) -> str:
    typed = frozenset(example.tags)
    decided = {decision.name: decision for decision in example.decisions}
    before = [_chip(tag, _kind(decided.get(tag)), was=True) for tag in example.tags]
    after = [_chip(tag, _kind(decided.get(tag))) for tag in example.tags if not _removed(decided.get(tag))]
    after += [_chip(d.name, "add") for d in example.decisions if d.decision is Decision.ADD and d.name not in typed]
    why = [
        _why(decision, example.truth.get(decision.name))
        for decision in example.decisions
        if decision.decision is not Decision.KEEP and (decision.score is not None or decision.decision is Decision.ADD)
    ]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=82, optimize=True)
    image = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<article><div><img alt="" src="data:image/jpeg;base64,{image}"><small>{escape(example.name)}</small></div>'
        f"<div><dl><dt>before</dt><dd>{_some(before)}</dd><dt>after</dt><dd>{_some(after)}</dd></dl>"
        f"<ul>{''.join(why)}</ul></div></article>"
    )


def _why(decision: TagDecision, holds: bool | None) -> str:
    verb = {Decision.REMOVE: "removed", Decision.ADD: "added", Decision.UNSURE: "unsure"}[decision.decision]
    verdict, style = "", "verdict"
    if holds is not None and decision.decision is Decision.UNSURE:
        verdict = "the experts see it" if holds else "the experts do not see it"
    elif holds is not None:
        right = holds == (decision.decision is Decision.ADD)
        verdict = "✓ the experts agree" if right else "✗ the experts disagree"
        style += " right" if right else " wrong"
    score = "" if decision.score is None else f", right with probability {decision.score:.2f}".replace(" 0.", " .")
    reasons = "; ".join(reason.text for reason in decision.reasons[:_REASONS])
    return (
        f"<li>{_chip(decision.name, decision.decision.value)} {verb}{score}"
        f'<span class="{style}">{verdict}</span><i>{escape(reasons)}</i></li>'
    )


def _chip(tag: str, kind: str, *, was: bool = False) -> str:
    return f'<span class="tag {kind}{" was" if was else ""}">{escape(tag)}</span>'


def _some(chips: Sequence[str]) -> str:
    more = f"and {len(chips) - _TAGS} more" if len(chips) > _TAGS else ""
    return ("".join(chips[:_TAGS]) + more) or "none"


def _kind(decision: TagDecision | None) -> str:
    if decision is None:
        return ""
    if decision.decision is Decision.UNSURE and decision.score is None:
        return "unseen"
    return decision.decision.value


def _removed(decision: TagDecision | None) -> bool:
    return decision is not None and decision.decision is Decision.REMOVE


def _is_mistaken(example: Example) -> bool:
    return _verdicts(example, Decision.REMOVE, right=False) or _verdicts(example, Decision.ADD, right=False)


def _removes_rightly(example: Example) -> bool:
    return _verdicts(example, Decision.REMOVE, right=True) and not _is_mistaken(example)


def _adds_rightly(example: Example) -> bool:
    return _verdicts(example, Decision.ADD, right=True) and not _is_mistaken(example)


def _leaves_open(example: Example) -> bool:
    return any(each.decision is Decision.UNSURE and each.score is not None for each in example.decisions)


def _verdicts(example: Example, decision: Decision, *, right: bool) -> bool:
    """Whether a decision of this kind is right, or wrong, by the experts."""
    wanted = (decision is Decision.ADD) == right
    return any(d.decision is decision and example.truth.get(d.name) is wanted for d in example.decisions)

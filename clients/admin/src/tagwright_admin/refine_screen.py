"""What refinement says: for people a line a tag with what to do, how sure and why; for programs a JSON line a photo."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagwright_admin import jsonl, screen
from tagwright_admin.refine_run import Subject, Writing
from tagwright_admin.screen import bar, safe
from tagwright_client import Refinement, TagDecision, TagwrightError

_STYLES = {"KEEP": "green", "REMOVE": "red strike", "ADD": "bold cyan", "UNSURE": "yellow"}


def show(subject: Subject, refinement: Refinement, *, verbose: bool) -> None:
    """Print the table of one photo."""
    out = Console(highlight=False)
    about = (
        f"  {refinement.model_version}, {refinement.library_size:,} photos could vote, "
        f"{refinement.timings.total_ms:.0f} ms"
    )
    out.print(Text(safe(subject.shown), style="bold").append(safe(about), style="not bold dim"), soft_wrap=True)
    if refinement.decisions:
        out.print(decision_table(refinement, verbose=verbose))
    else:
        out.print("  it has no tags to judge, and none is likely enough to add")


def decision_table(refinement: Refinement, *, verbose: bool = False) -> Table:
    """Return one line a tag: name, decision, bar, score, and the strongest reason or, if `verbose`, all of them."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", ratio=1)
    for each in refinement.decisions:
        style = _STYLES.get(each.decision, "")
        reasons = [safe(reason.text) for reason in (each.evidence if verbose else each.evidence[:1])]
        judged = (bar(each.score), f"{each.score:.2f}") if each.score is not None else ("", "")
        table.add_row(
            Text("  ").append(safe(each.name), style=style),  # a struck tag, not a struck margin
            Text(safe(each.decision.lower()), style=style.replace(" strike", "")),
            *judged,
            Text("\n".join(reasons)),
        )
    return table


def show_left_out(subject: Subject) -> None:
    """Print how many of the tags that were found are none."""
    were = "tags that no server takes were" if subject.left_out > 1 else "tag that no server takes was"
    screen.remark(f"{subject.shown}: {subject.left_out} {were} left out")


def show_written(said: Writing) -> None:
    """Print what a photo's review said."""
    done = [f"{_tags(len(said.reject))} rejected"] if said.reject else []
    done += [f"{_tags(len(said.suggest))} suggested"] if said.suggest else []
    Console(highlight=False).print(Text(f"  {', '.join(done) or 'nothing to write'}"), soft_wrap=True)


def question(subject: Subject, said: Writing, *, url: str) -> str:
    """Return what is asked before a photo's tags are changed."""
    asked = [f"reject {_names(said.reject)}"] if said.reject else []
    asked += [f"suggest {_names([name for name, _ in said.suggest])}"] if said.suggest else []
    text = " and ".join(asked)
    return f"{text[:1].upper()}{text[1:]} for photo {safe(subject.shown)} at {url}?"


def line(subject: Subject, refinement: Refinement, *, written: Writing | None) -> str:
    """Return the line of one photo; `written` is what its review said, None where there was none."""
    timings = refinement.timings
    shown: dict[str, Any] = {
        **_about(subject),
        "decisions": [_decision(each) for each in refinement.decisions],
        "model_version": refinement.model_version,
        "library_size": refinement.library_size,
        "timings": {
            "decode_ms": timings.decode_ms,
            "queue_ms": timings.queue_ms,
            "inference_ms": timings.inference_ms,
            "refinement_ms": timings.refinement_ms,
            "total_ms": round(timings.total_ms, 3),
        },
    }
    if written is not None:
        suggested = [{"name": name, "score": jsonl.rounded(score)} for name, score in written.suggest]
        shown["applied"] = {"reject": list(written.reject), "suggest": suggested}
    return jsonl.line(shown)


def error_line(subject: Subject, error: TagwrightError) -> str:
    """Return the line of a photo whose tags were not judged, or not changed."""
    return jsonl.line({**_about(subject), "error": jsonl.error_object(error)})


def _about(subject: Subject) -> dict[str, Any]:
    if subject.image is None:
        tags = {"user_tags": list(subject.user_tags)} if subject.user_tags is not None else {}
        return {"id": subject.image_id, **tags}
    return {
        "photo": subject.shown,
        "user_tags": list(subject.user_tags or ()),
        "tags_left_out": subject.left_out,
        "problems": list(subject.problems),
    }


def _decision(each: TagDecision) -> dict[str, Any]:
    return {
        "name": each.name,
        "score": jsonl.rounded(each.score),
        "decision": each.decision,
        "evidence": [jsonl.evidence_object(why) for why in each.evidence],
    }


def _names(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(safe, names))


def _tags(count: int) -> str:
    return f"{count} tag{'s' if count != 1 else ''}"

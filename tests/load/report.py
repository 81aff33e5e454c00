"""The report: the same figures as tables for people and as JSON for programs. The JSON's shape is fixed by `FORMAT`.

{"format": 1, "date", "seconds", "rounds", "machine": {...}, "photos", "model": {...},
 "scenarios": {NAME: {"title", "seconds", "rows": [{"table", "name", "figures", "not_measured"}], "notes": [...],
                      "aims": [{"what", "at_least" and "at_most" or one of them, "measured", "met"}]}}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .figures import Aim, Figure, Note, Row
from .scenario import Yielded

FORMAT = 1
_UNITS = {"per_s": "/s", "ms": "ms", "s": "s", "share": "of raw", "mb": "MB"}


@dataclass
class Results:
    """What one scenario yielded."""

    title: str
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)

    def add(self, what: Yielded) -> None:
        """Put it where it belongs."""
        match what:
            case Row():
                self.rows.append(what)
            case Note():
                self.notes.append(what)
            case Aim():
                self.aims.append(what)

    def as_json(self) -> dict[str, Any]:
        """Return it as the JSON report holds it."""
        return {
            "title": self.title,
            "seconds": round(self.seconds, 1),
            "rows": [
                {
                    "table": row.table,
                    "name": row.name,
                    "figures": {name: _rounded(figure) for name, figure in row.figures.items()},
                    **({"not_measured": row.not_measured} if row.not_measured else {}),
                }
                for row in self.rows
            ],
            "notes": [note.text for note in self.notes],
            "aims": [
                {"what": aim.what, **_bounds(aim), "measured": _rounded(aim.measured), "met": aim.met}
                for aim in self.aims
            ],
        }


def write_json(path: Path, about: Mapping[str, Any], results: Mapping[str, Results]) -> None:
    """Write the JSON report."""
    scenarios = {name: result.as_json() for name, result in results.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": FORMAT, **about, "scenarios": scenarios}, indent=1) + "\n", encoding="utf-8")


def show(console: Console, results: Results, *, busy: bool = False) -> None:
    """Print one scenario; on a `busy` machine an aim that seems met or missed is said to prove nothing."""
    for name in dict.fromkeys(row.table for row in results.rows):
        _show_table(console, name, [row for row in results.rows if row.table == name])
    for note in results.notes:
        console.print(note.text, style="dim", highlight=False)
    for aim in results.aims:
        measured = "not measured" if aim.measured is None else f"{aim.measured:.2f}"
        said = "[green]met[/]" if aim.met else "[red]missed[/]"
        doubt = ", but the machine was busy: measure again" if busy else ""
        promised = " to ".join(f"{bound:g}" for bound in _bounds(aim).values())
        if aim.at_least is None:
            promised = f"at most {promised}"
        console.print(f"{aim.what}: {measured}, aim {promised}: {said}{doubt}", highlight=False)
    console.print()


def heading(figure: str) -> str:
    """Return a column's heading: `photos_per_s` is "photos/s", `p99_ms` is "p99 ms"."""
    for suffix, unit in _UNITS.items():
        if figure.endswith(f"_{suffix}"):
            words = figure.removesuffix(f"_{suffix}").replace("_", " ")
            return f"{words}{unit}" if unit.startswith("/") else f"{words}\n{unit}"
    return figure.replace("_", " ")


def _show_table(console: Console, name: str, rows: list[Row]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row.figures))
    table = Table(title=name, title_justify="left", title_style="bold", header_style="")
    table.add_column("")
    for column in columns:
        table.add_column(heading(column), justify="right")
    for row in rows:
        table.add_row(row.name, *(shown(row.figures.get(column)) for column in columns))
    console.print(table)
    for row in rows:
        if row.not_measured:
            console.print(
                f"{row.name}: not measured: {row.not_measured}", style="yellow", highlight=False, markup=False
            )


def shown(figure: Figure) -> str:
    """Return a figure with three digits that count."""
    if figure is None:
        return "-"
    if isinstance(figure, str | int):
        return str(figure)
    size = abs(figure)
    if 0 < size < 1e-3:
        return f"{figure:.1g}"
    return f"{figure:.0f}" if size >= 100 else f"{figure:.1f}" if size >= 10 else f"{figure:.2f}"


def _bounds(aim: Aim) -> dict[str, float]:
    bounds = {"at_least": aim.at_least, "at_most": aim.at_most}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _rounded(figure: Figure) -> Figure:
    return float(f"{figure:.6g}") if isinstance(figure, float) else figure

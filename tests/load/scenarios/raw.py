"""The machine without a server: the whole loop in three arrangements, its parts alone, and ONNX Runtime.

How to read it: no server on these cores can be faster than the fastest arrangement. Decode and network alone say what a
photo costs at least; ONNX Runtime says what another engine would make of the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..figures import Note, Row, middle
from ..raw_loop import ONE, ONE_A_CORE, RawLoop, Speed
from ..scenario import Yielded
from ..setup import Setup

NAME = "raw"
TITLE = "no server: decode and network, written by hand"
ORDER = 10

_LOOP = "The whole loop"
_PARTS = "Its parts alone"


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure them."""
    loop = setup.raw_loop
    setup.step("raw: the whole loop in three arrangements")
    speeds = loop.choose(setup.seconds / 2)
    fastest = loop.fastest(setup.seconds)
    for arrangement, measured in speeds.items():
        mark = " (fastest)" if arrangement is fastest else ""
        yield _row(_LOOP, arrangement.name + mark, measured)

    setup.step("raw: decode alone")
    yield _row(_PARTS, f"decode, {ONE_A_CORE}", [loop.measure("decode", ONE_A_CORE, setup.seconds / 2)])
    for processes in (ONE, ONE_A_CORE):
        setup.step(f"raw: network alone, {processes}")
        yield _row(
            _PARTS, f"network (TorchScript), {processes}", [loop.measure("network", processes, setup.seconds / 2)]
        )
    yield from _onnx(setup, loop)


def _onnx(setup: Setup, loop: RawLoop) -> Iterator[Yielded]:
    setup.step("raw: ONNX Runtime on the same weights")
    file = setup.scratch / "model.onnx"
    exported = loop.export_onnx(file)
    for processes in (ONE, ONE_A_CORE):
        name = f"network (ONNX Runtime), {processes}"
        if "not_measured" in exported:
            yield Row(_PARTS, name, not_measured=exported["not_measured"])
        else:
            yield _row(_PARTS, name, [loop.measure("onnx", processes, setup.seconds / 2, path=str(file))])
    if "difference" in exported:
        yield Note(f"ONNX Runtime's scores differ from TorchScript's by at most {exported['difference']:.1g}.")


def _row(table: str, name: str, measured: list[Speed]) -> Row:
    figures = {
        "photos_per_s": middle([speed.photos_per_s for speed in measured]),
        "processor_ms": middle([speed.processor_ms for speed in measured]),
    }
    return Row(table, name, figures)

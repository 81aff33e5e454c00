"""TagImage over gRPC beside the raw loop, measured in turns in the same run, and where the rest of the time goes.

How to read it: "of raw" is photos/s through the server / photos/s of the raw loop, the mean of just before and just
after that server; the median of the rounds: what the server leaves of the machine, callers included, which share its
cores. The second table splits the processor time of all cores by program, a photo; its rows add up to
cores x 1000 / (photos/s). Its column "ours" holds on a busy machine too: what the loop costs, and what the server adds
to it. The third is what a caller waits, split as the answers' trailing metadata says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from ..figures import Aim, Figure, Note, Row, latency, middle, shares
from ..processor_time import PROGRAMS
from ..raw_loop import Speed, between
from ..scenario import Yielded
from ..serving import Engine, NotServed
from ..setup import Setup
from ..traffic import STAGES, Measured, measure

NAME = "tag-image"
TITLE = "TagImage over gRPC, beside the raw loop"
ORDER = 20

CALLERS = (1, 8, 32)
_AIM_CALLERS, _AIM = 8, 0.75
_SPEED = "Speed"
_PROCESSOR = "Processor milliseconds a photo, all cores"
_WAIT = "What a caller waits for, ms (means)"


@dataclass
class _Pairs:
    """One engine at one number of callers, round by round, with the raw loop around it."""

    measured: list[Measured] = field(default_factory=list)
    raw: list[Speed] = field(default_factory=list)

    @property
    def shares(self) -> list[float]:
        return shares([one.photos_per_s for one in self.measured], [one.photos_per_s for one in self.raw])


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure raw, local, raw, Triton, as often as there are rounds."""
    loop = setup.raw_loop
    setup.step("tag-image: the fastest arrangement of the raw loop")
    fastest = loop.fastest(setup.seconds)
    pairs = {(engine, callers): _Pairs() for engine in setup.engines for callers in CALLERS}
    missing: dict[Engine, str] = {}
    setup.step("tag-image: raw loop")
    before = loop.run(fastest, setup.seconds)
    for number in range(1, setup.rounds + 1):
        for engine in setup.engines:
            if engine not in missing:
                try:
                    _measure(setup, engine, pairs, f"round {number} of {setup.rounds}")
                except NotServed as err:
                    missing[engine] = str(err)
                    continue
                setup.step(f"round {number} of {setup.rounds}: raw loop")
                after = loop.run(fastest, setup.seconds)
                for callers in CALLERS:
                    pairs[engine, callers].raw.append(between(before, after))
                before = after
    for engine, why in missing.items():
        yield Row(_SPEED, engine.name, not_measured=why)
    there = {key: pair for key, pair in pairs.items() if pair.measured}
    for (engine, callers), pair in there.items():
        yield Row(_SPEED, _name(engine, callers), _speed(pair))
    raw_speeds = [speed for pair in there.values() for speed in pair.raw]
    if raw_speeds:
        yield Row(_PROCESSOR, "raw loop", _raw_processor(raw_speeds))
    for (engine, callers), pair in there.items():
        if any(one.processor_ms for one in pair.measured):  # no photo came through: nothing to divide by
            yield Row(_PROCESSOR, _name(engine, callers), _processor(pair))
            yield Row(_WAIT, _name(engine, callers), _wait(pair))
    yield Note(
        f"The raw loop is: {fastest.name}. Medians of {setup.rounds} rounds; latencies over all calls of all rounds."
    )
    for engine in setup.engines:
        share = middle(pairs[engine, _AIM_CALLERS].shares)
        yield Aim(f"TagImage through {engine.name} at {_AIM_CALLERS} callers, share of the raw loop", _AIM, share)


def _measure(setup: Setup, engine: Engine, pairs: dict[tuple[Engine, int], _Pairs], said: str) -> None:
    with setup.served(engine) as (serving, client):
        for callers in CALLERS:
            setup.step(f"{said}: {serving.engine}, {_callers(callers)}")
            pair = pairs[engine, callers]
            pair.measured.append(measure(serving, client, callers=callers, seconds=setup.seconds))


def _name(engine: Engine, callers: int) -> str:
    return f"{engine.name}, {_callers(callers)}"


def _callers(count: int) -> str:
    return f"{count} caller" + "s" * (count > 1)


def _speed(pair: _Pairs) -> dict[str, Figure]:
    least, most = (min(pair.shares), max(pair.shares)) if pair.shares else (None, None)
    errors = sum((Counter(one.errors) for one in pair.measured), Counter())
    return {
        "photos_per_s": middle([one.photos_per_s for one in pair.measured]),
        **latency([took for one in pair.measured for took in one.took_ms]),
        "raw_photos_per_s": middle([one.photos_per_s for one in pair.raw]),
        "median_share": middle(pair.shares),
        "least_share": least,
        "most_share": most,
        "errors": ", ".join(f"{count} {reason}" for reason, count in sorted(errors.items())) or 0,
    }


def _raw_processor(raw: list[Speed]) -> dict[str, Figure]:
    of_all = {
        "loop": fmean(speed.processor_ms for speed in raw),
        "others": fmean(speed.others_ms for speed in raw),
        "idle": fmean(speed.idle_ms for speed in raw),
    }
    return _with_total(of_all)


def _processor(pair: _Pairs) -> dict[str, Figure]:
    programs = ("client", *PROGRAMS, "others", "idle")
    return _with_total({name: middle([one.processor_ms.get(name) for one in pair.measured]) for name in programs})


def _with_total(of_all: Mapping[str, float | None]) -> dict[str, Figure]:
    """Return all columns in one order, whoever the row is about, and their sums: ours, and everything."""
    ours, rest = ("loop", "client", *PROGRAMS), ("others", "idle")
    return {
        **{name: of_all.get(name) for name in ours},
        "ours": sum(of_all.get(name) or 0.0 for name in ours),
        **{name: of_all.get(name) for name in rest},
        "all": sum(value or 0.0 for value in of_all.values()),
    }


def _wait(pair: _Pairs) -> dict[str, Figure]:
    answered = [one for one in pair.measured if one.took_ms]
    total = fmean(took for one in answered for took in one.took_ms)
    stages = {stage: fmean(one.stages_ms[stage] for one in answered) for stage in STAGES}
    return {"all": total, **stages, "the_rest": total - sum(stages.values())}

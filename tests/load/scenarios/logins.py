"""Eight who guess passwords, and what everybody else notices: health checks, tagging, and a user who signs in.

How to read it: each stretch is measured quiet and under attack, in turns, on one server. Four attackers guess the
user's own password; four try a name nobody tried before each time, which keeps passwords being hashed for as long as
their peers' failures are free. Each has an address of its own (127.0.0.2 and on; other ones in the next attack), the
user another one, from which they signed in before. The attackers are processes on the same cores: what tagging loses to
them is in "attackers' cores", and a network would not take it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil

from ..child import Child
from ..figures import Aim, Figure, Note, Row, latency, middle
from ..relay import can_call_from
from ..scenario import Yielded
from ..serving import ACCOUNT, Engine, NotServed, Serving
from ..setup import Setup
from ..traffic import Measured, measure

NAME = "logins"
TITLE = "what a flood of wrong logins does to the others"
ORDER = 50

CALLERS = (1, 8)
ATTACKERS = 8
_AIM_HEALTH_MS, _AIM_LOGIN_S = 150.0, 5.0
_HEALTH = "Health, a check every 20 ms"
_TAGGING = "TagImage"
_USER = "The user, a right login every 2 s"
_ATTACK = "The attackers"


@dataclass
class _Stretches:
    """All rounds of one engine at one number of callers, quiet or under attack."""

    measured: list[Measured] = field(default_factory=list)
    health_ms: list[float] = field(default_factory=list)
    health_errors: Counter[str] = field(default_factory=Counter)
    logins_s: list[float] = field(default_factory=list)
    failed_logins: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)  # to the attackers
    attack_s: float = 0.0
    attackers_processor_s: float = 0.0

    @property
    def right_share(self) -> float | None:
        """The part of the user's logins that succeeded; None where there was none."""
        tried = len(self.logins_s) + self.failed_logins.total()
        return len(self.logins_s) / tried if tried else None


_Key = tuple[Engine, int, bool]


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure every engine at 1 and at 8 callers, quiet and under attack."""
    if not can_call_from(_source(0, 0)):
        yield Row(_ATTACK, "all", not_measured=f"this machine cannot call itself from {_source(0, 0)}")
        return
    seen: dict[_Key, _Stretches] = {}
    missing: dict[Engine, str] = {}
    with ExitStack() as stack:
        attackers = [stack.enter_context(Child("attacker", {})) for _ in range(ATTACKERS)]
        for number in range(1, setup.rounds + 1):
            for engine in setup.engines:
                if engine not in missing:
                    try:
                        _measure(setup, engine, attackers, seen, f"round {number} of {setup.rounds}")
                    except NotServed as err:
                        missing[engine] = str(err)
    for engine, why in missing.items():
        yield Row(_HEALTH, engine.name, not_measured=why)
    there = {key: found for key, found in seen.items() if key[0] not in missing}
    for table, figures in ((_HEALTH, _health), (_TAGGING, _tagging), (_USER, _user)):
        for key, found in there.items():
            yield Row(table, _name(key), figures(found))
    for key, found in there.items():
        if found.attack_s:
            yield Row(_ATTACK, _name(key), _attack(found))
    yield Note(
        f"{ATTACKERS} attackers, processes on the same {setup.cores} cores as the server, its callers and the bench. "
        f"Medians of {setup.rounds} rounds; latencies over all calls of all rounds."
    )
    for key, found in there.items():
        if key[2]:
            yield from _aims(_name(key), found)


def _measure(setup: Setup, engine: Engine, attackers: list[Child], seen: dict[_Key, _Stretches], said: str) -> None:
    with (
        setup.served(engine) as (serving, client),
        Child("bystanders", {"address": serving.address}) as bystanders,
    ):
        for attack, callers in enumerate(CALLERS):
            for attacked in (False, True):
                key = (engine, callers, attacked)
                setup.step(f"{said}: {_name(key)}")
                found = seen.setdefault(key, _Stretches())
                if attacked:
                    before_s = _processor_s(attackers)
                    _begin(attackers, serving, attack)
                bystanders.ask(do="start", username=ACCOUNT, password=serving.password)
                found.measured.append(measure(serving, client, callers=callers, seconds=setup.seconds))
                noticed = bystanders.ask(do="stop")  # while the attack goes on: a login under way is finished
                if attacked:
                    _end(attackers, found)
                    found.attackers_processor_s += _processor_s(attackers) - before_s
                found.health_ms += noticed["health_ms"]
                found.health_errors.update(noticed["health_errors"])
                found.logins_s += noticed["logins_s"]
                found.failed_logins.update(noticed["failed_logins"])


def _begin(attackers: list[Child], serving: Serving, attack: int) -> None:
    for index, attacker in enumerate(attackers):
        username = ACCOUNT if index < ATTACKERS // 2 else None
        attacker.tell(do="start", address=serving.address, source=_source(attack, index), username=username)
    for attacker in attackers:
        attacker.hear()


def _end(attackers: list[Child], found: _Stretches) -> None:
    for attacker in attackers:
        attacker.tell(do="stop")
    answers = [attacker.hear() for attacker in attackers]
    for answer in answers:
        found.answers.update(answer["answers"])
    found.attack_s += max(answer["seconds"] for answer in answers)


def _source(attack: int, index: int) -> str:
    return f"127.0.{attack}.{index + 2}"  # not .1: that is the user's


def _processor_s(children: list[Child]) -> float:
    times = [psutil.Process(child.pid).cpu_times() for child in children]
    return sum(float(one.user + one.system) for one in times)


def _name(key: _Key) -> str:
    engine, callers, attacked = key
    return f"{engine.name}, {callers} caller{'s' * (callers > 1)}, {'under attack' if attacked else 'quiet'}"


def _health(found: _Stretches) -> dict[str, Figure]:
    return {
        **latency(found.health_ms),
        "longest_ms": max(found.health_ms, default=None),
        "checks": len(found.health_ms),
        "errors": _counted(found.health_errors),
    }


def _tagging(found: _Stretches) -> dict[str, Figure]:
    return {
        "photos_per_s": middle([one.photos_per_s for one in found.measured]),
        **latency([took for one in found.measured for took in one.took_ms]),
        "errors": _counted(sum((Counter(one.errors) for one in found.measured), Counter())),
    }


def _user(found: _Stretches) -> dict[str, Figure]:
    return {
        "logins": len(found.logins_s),
        "median_s": middle(found.logins_s),
        "slowest_s": max(found.logins_s, default=None),
        "failed": _counted(found.failed_logins),
    }


def _attack(found: _Stretches) -> dict[str, Figure]:
    return {
        "tries_per_s": found.answers.total() / found.attack_s,
        "answers": _counted(found.answers),
        "attackers'_cores": found.attackers_processor_s / found.attack_s,
    }


def _aims(name: str, found: _Stretches) -> Iterator[Aim]:
    p99_ms = latency(found.health_ms)["p99_ms"]
    assert p99_ms is None or isinstance(p99_ms, float)
    yield Aim(f"{name}: p99 of health, ms", None, p99_ms, at_most=_AIM_HEALTH_MS)
    yield Aim(f"{name}: the slowest right login, s", None, max(found.logins_s, default=None), at_most=_AIM_LOGIN_S)
    yield Aim(f"{name}: right logins that succeeded, share", 1.0, found.right_share)


def _counted(reasons: Counter[str]) -> Figure:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items())) or 0

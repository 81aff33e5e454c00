"""Our own Triton dies or hangs under load: no wrong answer, errors in time, and back without anyone's help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import bundles
import numpy as np
import pytest
from tritons import Readiness, kill, needs_triton, our_triton, processes_below

from tagwright_server.errors import DeadlineExceeded, ModelUnavailable, Overloaded, TagwrightError
from tagwright_server.inference.bundle import Bundle
from tagwright_server.inference.child import Child
from tagwright_server.inference.triton import TritonBackend

pytestmark = needs_triton

NOT_SERVING_WITHIN_S = 5.0
BACK_WITHIN_S = 60.0
BACK_FROM_A_HANG_WITHIN_S = 90.0  # nobody died: it takes some canaries without an answer to be sure
LONGEST_CALL_S = 4.0  # where something died: Triton or the kernel says so to whoever waits
LONGEST_CALL_TO_A_HANG_S = 11.0  # the callers' own 10, which only a hung Triton lets them wait for
STUB, SERVER = "triton_python_backend_stub", "tritonserver"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    return bundles.write_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture(scope="module")
def backend(models: list[Bundle], readiness: Readiness) -> Iterator[TritonBackend]:
    backend = TritonBackend(models, on_change=readiness)
    yield backend
    backend.close()


@pytest.fixture(autouse=True)
def well(request: pytest.FixtureRequest) -> None:
    """Begin every test that shares the backend with one that is ready, whatever the test before did to it."""
    if "backend" in request.fixturenames:
        backend, readiness = request.getfixturevalue("backend"), request.getfixturevalue("readiness")
        if not backend.ready():
            readiness.seconds_until(True, at_most_s=60)


class Load:
    """Callers that ask without pause and compare every answer with the one they got while all was well."""

    def __init__(self, backend: TritonBackend, model: Bundle, callers: int = 8) -> None:
        self.outcomes: Counter[str] = Counter()
        self.longest_s = 0.0
        self._backend = backend
        self._model = model
        self._photos = np.random.default_rng(7).integers(0, 256, (callers, 32, 32, 3), dtype=np.uint8)
        self._expected = backend.infer(model, self._photos, timeout_s=10).scores
        self._over = threading.Event()
        self._answered = threading.Condition()
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, more: int = 50) -> None:
        """Return when `more` answers were right since now: less traffic than that would prove nothing."""
        enough = self.outcomes["right"] + more
        with self._answered:
            assert self._answered.wait_for(lambda: self.outcomes["right"] >= enough, timeout=30)

    def _call(self, i: int) -> None:
        while not self._over.is_set():
            started = time.monotonic()
            try:
                scores = self._backend.infer(self._model, self._photos[i : i + 1], timeout_s=10).scores
            except TagwrightError as err:
                outcome = type(err).__name__
                self._over.wait(0.01)  # a caller that is refused at once does not ask again at once
            else:
                right = np.abs(scores[0] - self._expected[i]).max() <= 1e-4
                outcome = "right" if right else "WRONG"
            with self._answered:
                self.outcomes[outcome] += 1
                self.longest_s = max(self.longest_s, time.monotonic() - started)
                self._answered.notify_all()


@pytest.mark.parametrize(
    ("program", "number"),
    [
        pytest.param(STUB, signal.SIGKILL, id="its model process is killed"),
        pytest.param(SERVER, signal.SIGKILL, id="Triton is killed"),
        pytest.param(STUB, signal.SIGSTOP, id="its model process hangs"),
        pytest.param(SERVER, signal.SIGSTOP, id="Triton hangs"),
    ],
)
def test_under_load_nothing_wrong_is_answered_and_service_comes_back(
    backend: TritonBackend, models: list[Bundle], readiness: Readiness, program: str, number: int
) -> None:
    hangs = number == signal.SIGSTOP
    back_within_s = BACK_FROM_A_HANG_WITHIN_S if hangs else BACK_WITHIN_S
    with Load(backend, models[0]) as load:
        load.wait_for_answers()
        readiness.forget()
        before = our_triton(STUB) + our_triton(SERVER)
        kill(our_triton(program), number)
        down_s = readiness.seconds_until(False, at_most_s=NOT_SERVING_WITHIN_S)
        up_s = readiness.seconds_until(True, at_most_s=back_within_s - down_s)
        assert backend.ready()
        load.wait_for_answers()
    print(f"not ready after {down_s:.2f} s, back after {down_s + up_s:.2f} s; {load.longest_s=:.2f}; {load.outcomes}")
    # Only a caller whose own time runs out while Triton hangs hears that; nobody hears anything wrong.
    excused = {DeadlineExceeded.__name__} if hangs else set()
    assert load.outcomes.keys() - excused == {"right", ModelUnavailable.__name__}
    assert load.longest_s <= (LONGEST_CALL_TO_A_HANG_S if hangs else LONGEST_CALL_S)
    assert not set(before) & set(our_triton(STUB) + our_triton(SERVER)), "what hung or lost its partner is still there"


def test_while_it_is_away_callers_are_refused_at_once(
    backend: TritonBackend, models: list[Bundle], readiness: Readiness
) -> None:
    readiness.forget()
    kill(our_triton(SERVER))
    readiness.seconds_until(False, at_most_s=NOT_SERVING_WITHIN_S)
    started = time.monotonic()
    for _ in range(50):
        with pytest.raises(ModelUnavailable) as refused:
            backend.infer(models[0], np.zeros((1, 32, 32, 3), np.uint8), timeout_s=10)
        assert refused.value.retry_after_s > 0
    assert time.monotonic() - started < 3  # s; a single call that waited would take 5
    readiness.seconds_until(True, at_most_s=BACK_WITHIN_S)


def test_a_hung_triton_costs_a_caller_no_more_than_its_deadline(
    backend: TritonBackend, models: list[Bundle], readiness: Readiness
) -> None:
    readiness.forget()
    kill(our_triton(SERVER), signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises((DeadlineExceeded, Overloaded)) as ended:
        backend.infer(models[0], np.zeros((1, 32, 32, 3), np.uint8), timeout_s=0.3)
    assert ended.type is DeadlineExceeded
    assert time.monotonic() - started < 2  # s; without the deadline it would never end
    kill(our_triton(SERVER), signal.SIGCONT)
    assert backend.infer(models[0], np.zeros((1, 32, 32, 3), np.uint8), timeout_s=10).scores.shape == (1, 5)


def test_a_service_manager_that_signals_every_process_does_not_end_the_keeper(models: list[Bundle]) -> None:
    started: list[Child] = []

    def start() -> Child:
        started.append(Child(models))
        return started[-1]

    backend = TritonBackend(models, start=start)
    below = processes_below(started[0].pid)
    try:
        os.kill(started[0].pid, signal.SIGTERM)
        with Load(backend, models[0]) as load:
            load.wait_for_answers()
        assert load.outcomes.keys() == {"right"}
        assert len(started) == 1
        assert processes_below(started[0].pid) == below
    finally:
        stopping = time.monotonic()
        backend.close()
    assert time.monotonic() - stopping < 4  # s; a keeper that does not end by its input is killed after 5
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in below)


def test_nothing_of_it_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    [bundle] = bundles.write_repository(tmp_path / "models")
    program = (
        "import sys, pathlib\n"
        "from tagwright_server.inference.bundle import load_bundles\n"
        "from tagwright_server.inference.triton import TritonBackend\n"
        "backend = TritonBackend(load_bundles(pathlib.Path(sys.argv[1])))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program, str(bundle.path.parent.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path), "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    with server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        started = processes_below(server.pid)
        assert {SERVER, STUB} <= set(started.values())
        regions = f"{_id_of(started)}*"
        assert list(Path("/dev/shm").glob(regions))
        assert list(tmp_path.glob("tagwright-triton-*"))
        server.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (
        list(tmp_path.glob("tagwright-triton-*"))
        or list(Path("/dev/shm").glob(regions))
        or any(Path(f"/proc/{pid}/exe").exists() for pid in started)
    ):
        threading.Event().wait(0.05)
    assert not [name for pid, name in started.items() if Path(f"/proc/{pid}/exe").exists()]
    assert not list(Path("/dev/shm").glob(regions))
    assert not list(tmp_path.glob("tagwright-triton-*"))


def _id_of(processes: dict[int, str]) -> str:
    """Return what a Triton is called, and its shared memory with it."""
    [pid] = (pid for pid, name in processes.items() if name == SERVER)
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return next(argument.removeprefix("--id=") for argument in arguments if argument.startswith("--id="))

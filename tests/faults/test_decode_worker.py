"""The pool of decoding processes under faults: killed, hung, starved, lied to, flooded. Real processes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image

from tagwright_server.errors import DeadlineExceeded, ImageRejected, Overloaded, StartupError
from tagwright_server.images import process, worker
from tagwright_server.images.decode import DecodeLimits, decode
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.images.worker import DecodePool

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks at processes through /proc")

SMALL = Preprocessing(size=32)
MIB = 1024 * 1024
PHOTO = photos.jpeg()
SLOW = photos.encoded(Image.new("RGB", (5600, 5600)), compress_level=1)  # 31 MP: a third of a second and 125 MB


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with DecodePool(1) as one:
        yield one


def tagged(pool: DecodePool, data: bytes = PHOTO) -> worker.Decoded:
    return pool.submit(data, SMALL).result(timeout_s=60)


def rejected(pool: DecodePool, data: bytes) -> ImageRejected:
    with pytest.raises(ImageRejected) as caught:
        tagged(pool, data)
    return caught.value


def eventually(holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Wait for something another process does; there is no event to wait on."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.002)


def memory_bytes(pid: int, what: str = "VmRSS") -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(what)), 0)


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_busy_with_slow(pid: int) -> bool:
    return memory_bytes(pid) > 64 * MIB  # 30 at rest


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_photo_comes_back_as_if_decoded_here_with_its_times(pool: DecodePool) -> None:
    result = tagged(pool)
    expected = decode(PHOTO, SMALL, DecodeLimits())
    assert np.array_equal(result.photo.pixels, expected.pixels)
    assert result.photo.pixels.flags.writeable  # torch warns about arrays that are not
    assert (result.photo.width, result.photo.height, result.photo.format) == (96, 72, "JPEG")
    assert 0 <= result.queue_s < 30
    assert 0 < result.decode_s < 30


def test_one_pool_serves_models_of_different_sizes(pool: DecodePool) -> None:
    for size in (32, 128, 224):
        assert pool.submit(PHOTO, Preprocessing(size)).result(timeout_s=60).photo.pixels.shape == (size, size, 3)


def test_a_rejection_keeps_its_limit_and_its_worker(pool: DecodePool) -> None:
    pids = pool.worker_pids
    err = rejected(pool, photos.png_of_zeros(10_000, 10_000))
    assert (err.limit, err.allowed, err.actual) == ("pixels", "32000000", "100000000")
    assert rejected(pool, b"").limit == "empty"
    assert rejected(pool, PHOTO + bytes(25 * MIB)).limit == "bytes"
    assert tagged(pool).photo.width == 96
    assert pool.worker_pids == pids


def test_a_worker_killed_while_idle_costs_no_photo(pool: DecodePool) -> None:
    (pid,) = pool.worker_pids
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid))
    assert tagged(pool).photo.width == 96
    assert pool.worker_pids != [pid]


def test_a_worker_killed_in_the_middle_of_a_photo_is_replaced_and_the_photo_sent_once_more(pool: DecodePool) -> None:
    (pid,) = pool.worker_pids
    pending = pool.submit(SLOW, SMALL)
    eventually(lambda: is_busy_with_slow(pid))
    os.kill(pid, signal.SIGKILL)
    assert pending.result(timeout_s=60).photo.width == 5600
    assert pool.worker_pids != [pid]


def test_a_photo_that_kills_every_worker_is_refused_and_costs_only_itself() -> None:
    with DecodePool(2) as pool:
        tagged(pool)
        pending = pool.submit(SLOW, SMALL)
        victims: set[int] = set()
        for _ in range(2):
            eventually(lambda: any(map(is_busy_with_slow, set(pool.worker_pids) - victims)))
            (victim,) = filter(is_busy_with_slow, set(pool.worker_pids) - victims)
            victims.add(victim)
            assert tagged(pool).photo.width == 96  # meanwhile, in the other worker
            os.kill(victim, signal.SIGKILL)
        with pytest.raises(ImageRejected) as caught:
            pending.result(timeout_s=60)
        assert caught.value.limit == "memory"
        assert len(pool.worker_pids) == 2
        assert all(each.photo.width == 96 for each in (tagged(pool) for _ in range(4)))


def test_a_photo_that_takes_too_long_is_refused_and_its_worker_replaced() -> None:
    with DecodePool(1, timeout_s=0.1) as pool:  # of processor time: how busy the machine is does not matter
        (pid,) = pool.worker_pids
        err = rejected(pool, SLOW)
        assert (err.limit, err.allowed) == ("time", "0.1 seconds")
        assert gone(pid)


def test_short_photos_may_take_as_long_together_as_they_like() -> None:
    with DecodePool(1, timeout_s=0.25) as pool:
        (pid,) = pool.worker_pids
        medium = photos.encoded(Image.new("RGB", (1400, 1400)), compress_level=1)
        while processor_s(pid) < 2 * 0.25:
            assert tagged(pool, medium).photo.width == 1400
            assert pool.worker_pids == [pid]


@pytest.mark.parametrize("size_bytes", [len(PHOTO), 10 * MIB])  # the second does not fit into a socket's buffer
def test_a_worker_that_hangs_is_given_up_and_replaced(size_bytes: int) -> None:
    with DecodePool(1, timeout_s=0.25) as pool:
        (pid,) = pool.worker_pids
        tagged(pool)
        os.kill(pid, signal.SIGSTOP)
        err = rejected(pool, PHOTO.ljust(size_bytes, b"\0"))
        assert (err.limit, err.allowed) == ("time", "0.25 seconds")
        assert gone(pid)
        assert pool.worker_pids != [pid]


def test_a_photo_that_needs_more_memory_than_allowed_is_refused_by_the_worker_that_lives_on() -> None:
    with DecodePool(1, address_space_bytes=64 * MIB) as pool:
        pids = pool.worker_pids
        assert rejected(pool, SLOW).limit == "memory"
        assert tagged(pool).photo.width == 96
        assert pool.worker_pids == pids


@pytest.mark.parametrize(
    "bomb",
    [
        photos.png_of_zeros(10_000, 10_000),
        photos.png_of_zeros(60_000, 60_000, rows=64),
        photos.png_with_bomb(b"zTXt"),
        photos.webp_canvas(16_000, 16_000),
        photos.webp_frames(10_000),
        photos.jpeg(icc_profile=bytes(4 * MIB)),
        photos.encoded(Image.new("L", (65_500, 60)), "JPEG"),
    ],
    ids=[
        "100 MP PNG",
        "3600 MP PNG",
        "200 MB text in a PNG",
        "256 MP WebP",
        "10,000 frames",
        "4 MB profile",
        "65,500 wide JPEG",
    ],
)
def test_a_bomb_leaves_the_workers_memory_flat(pool: DecodePool, bomb: bytes) -> None:
    tagged(pool)
    (pid,) = pool.worker_pids
    before = memory_bytes(pid, "VmHWM")
    with suppress(ImageRejected):  # which of them are, test_decode says
        tagged(pool, bomb)
    assert pool.worker_pids == [pid]
    assert memory_bytes(pid, "VmHWM") - before < 4 * len(bomb) + 8 * MIB


def test_the_memory_of_a_large_photo_is_given_back(pool: DecodePool) -> None:
    (pid,) = pool.worker_pids
    tagged(pool)
    before = memory_bytes(pid)
    tagged(pool, SLOW)
    assert memory_bytes(pid, "VmHWM") - before > 64 * MIB
    assert memory_bytes(pid) - before < 24 * MIB


def test_a_worker_is_replaced_after_its_share_of_photos() -> None:
    with DecodePool(1, recycle_after=3) as pool:
        pids = []
        for _ in range(7):
            pids += pool.worker_pids
            assert tagged(pool).photo.width == 96
    assert pids[0] == pids[2] != pids[3] == pids[5] != pids[6]


def test_photos_beyond_the_queue_are_refused_at_once_and_the_queued_ones_decoded() -> None:
    with DecodePool(1, max_waiting=3) as pool:
        tagged(pool)
        os.kill(pool.worker_pids[0], signal.SIGSTOP)
        accepted = [pool.submit(PHOTO, SMALL) for _ in range(4)]
        with pytest.raises(Overloaded) as caught:
            pool.submit(PHOTO, SMALL)
        assert caught.value.retry_after_s > 0
        os.kill(pool.worker_pids[0], signal.SIGCONT)
        results = [each.result(timeout_s=60) for each in accepted]
        assert results[-1].queue_s >= results[0].queue_s
        assert tagged(pool).photo.width == 96


def test_a_caller_whose_time_is_up_leaves_the_queue() -> None:
    with DecodePool(1, max_waiting=1) as pool:
        tagged(pool)
        os.kill(pool.worker_pids[0], signal.SIGSTOP)
        first, second = pool.submit(PHOTO, SMALL), pool.submit(PHOTO, SMALL)
        with pytest.raises(DeadlineExceeded):
            second.result(timeout_s=0.05)
        third = pool.submit(PHOTO, SMALL)  # Overloaded, had the second kept its place
        third.cancel()
        with pytest.raises(Overloaded):
            third.result(timeout_s=60)
        os.kill(pool.worker_pids[0], signal.SIGCONT)
        assert first.result(timeout_s=60).photo.width == 96


def test_closing_ends_every_process() -> None:
    pool = DecodePool(2)
    pids = pool.worker_pids
    pool.close()
    assert len(pids) == 2
    assert all(map(gone, pids))
    assert pool.worker_pids == []


def test_the_workers_end_with_a_server_that_is_killed() -> None:
    program = """
import os, sys
sys.path[:] = sys.argv[1:]
from tagwright_server.images.worker import DecodePool
print(*DecodePool(2).worker_pids, flush=True)
os.kill(os.getpid(), 9)
"""
    server = subprocess.run([sys.executable, "-c", program, *sys.path], stdout=subprocess.PIPE, check=False, timeout=60)
    pids = [int(pid) for pid in server.stdout.split()]
    assert server.returncode == -signal.SIGKILL
    assert len(pids) == 2
    eventually(lambda: all(map(gone, pids)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_polite_stop_leave_the_workers_to_the_server(pool: DecodePool, number: signal.Signals) -> None:
    tagged(pool)
    pids = pool.worker_pids
    os.kill(pids[0], number)
    assert tagged(pool).photo.width == 96
    assert pool.worker_pids == pids


def test_a_worker_holds_no_file_of_the_servers_and_loads_nothing_heavy(pool: DecodePool) -> None:
    tagged(pool)
    (pid,) = pool.worker_pids
    descriptors = {link.name: os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) > 2}
    assert [target.split(":")[0] for target in descriptors.values()] == ["socket"]
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "_imaging" in maps
    assert not any(name in maps for name in ("numpy", "grpc", "torch"))


_LIES = {
    "too few pixels": 'send(peer, {"width": 1, "height": 1, "format": "PNG"}, b"x" * 30)',
    "too many pixels": 'send(peer, {"width": 1, "height": 1, "format": "PNG"}, bytes(32 * 32 * 3 + 1))',
    "no width": 'send(peer, {"height": 1, "format": "PNG"}, bytes(32 * 32 * 3))',
    "not a number": 'send(peer, {"width": "a", "height": 1, "format": "PNG"}, bytes(32 * 32 * 3))',
    "an endless message": 'peer.sendall(b"\\xff" * 64)',
    "no JSON": 'peer.sendall(b"\\x00\\x00\\x00\\x04\\x00\\x00\\x00\\x00" + b"\\x80\\x04K\\x01")',
    "lists in lists": 'head = b"[" * 100_000; peer.sendall(len(head).to_bytes(4, "big") + bytes(4) + head)',
    "a size that is a truth": 'send(peer, {"width": True, "height": 1, "format": "PNG"}, bytes(32 * 32 * 3))',
    "a format that is not ours": 'send(peer, {"width": 1, "height": 1, "format": "GIF"}, bytes(32 * 32 * 3))',
    "a list": 'peer.sendall(b"\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x00[]")',
    "half a message": 'peer.sendall(b"\\x00\\x00"); raise SystemExit',
}


def _answering(lie: str) -> str:
    """The program of a worker that answers so."""
    return f"""
import json, socket, sys
sys.path[:] = json.loads(sys.argv[2])["path"]
from tagwright_server.images.messages import receive, send
peer = socket.socket(fileno=int(sys.argv[1]))
send(peer, {{"ready": True}})
receive(peer, body_bytes=1 << 30)
{lie}
peer.recv(1)
"""


@pytest.mark.parametrize("lie", _LIES.values(), ids=_LIES.keys())
def test_a_worker_that_answers_nonsense_is_not_believed(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PROGRAM", _answering(lie))
    with DecodePool(1) as pool:
        assert rejected(pool, PHOTO).limit == "format"
        monkeypatch.undo()
        os.kill(pool.worker_pids[0], signal.SIGKILL)
        assert tagged(pool).photo.width == 96


def test_a_pool_whose_processes_do_not_start_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PROGRAM", "raise SystemExit(3)")
    with pytest.raises(StartupError, match=r"^The processes that decode photos do not start"):
        DecodePool(2)


def test_when_no_process_can_be_had_callers_are_told_to_come_back_and_later_are_served(
    pool: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    tagged(pool)
    monkeypatch.setattr("subprocess.Popen", refuse)
    os.kill(pool.worker_pids[0], signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(Overloaded, match="No process can be started"):
            tagged(pool)
    monkeypatch.undo()
    assert tagged(pool).photo.width == 96

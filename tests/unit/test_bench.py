"""The bench's arithmetic and the shape of its report; that it measures at all is for `make bench` to show."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from load.figures import Aim, Completion, Note, Row, latency, middle, rate, shares
from load.photos import SIZE, SIZE_BYTES, from_folder, generate
from load.processor_time import Used, look, spent
from load.report import FORMAT, Results, heading, show, shown, write_json
from load.scenario import Scenario, discover
from PIL import Image
from rich.console import Console

DEMO = Path(__file__).resolve().parents[2] / "demo" / "photos"


def calls(batch: int, every_s: float, *, callers: int, took_s: float) -> list[Completion]:
    """`callers` calls end together, again and again, as they do where their photos share a batch of the network."""
    ends = [index * every_s for index in range(100)]
    return [Completion(end, took_s * 1000, batch) for end in ends for _ in range(callers)]


@pytest.mark.parametrize(("since_s", "until_s"), [(20.0, 30.0), (20.1, 29.7), (20.3, 23.3)])
def test_a_rate_is_right_wherever_one_looks_though_photos_end_in_batches(since_s: float, until_s: float) -> None:
    assert rate(calls(1, 0.5, callers=8, took_s=0.5), since_s, until_s) == pytest.approx(16.0)
    assert rate(calls(64, 2.0, callers=2, took_s=2.0), since_s, until_s) == pytest.approx(64.0)


def test_calls_that_ended_before_or_began_after_do_not_count() -> None:
    outside = [Completion(at_s=10.0, took_ms=500.0, photos=1), Completion(at_s=21.0, took_ms=500.0, photos=1)]
    assert rate(outside, 10.0, 20.0) is None
    assert rate([*outside, Completion(at_s=15.0, took_ms=500.0, photos=1)], 10.0, 20.0) == pytest.approx(0.1)


def test_latency_is_the_median_and_the_slowest_hundredth() -> None:
    took_ms = [float(value) for value in np.random.default_rng(0).permutation(np.arange(1, 102))]
    assert latency(took_ms) == {"p50_ms": 51.0, "p99_ms": 100.0}


def test_no_calls_have_no_latency() -> None:
    assert latency([]) == {"p50_ms": None, "p99_ms": None}


def test_a_share_is_taken_from_figures_of_the_same_round() -> None:
    slow_then_fast, twice_that = [10.0, None, 40.0], [20.0, 30.0, 80.0]
    assert shares(slow_then_fast, twice_that) == [0.5, 0.5]
    assert middle([]) is None
    assert middle([3.0, None, 1.0, 2.0]) == 2.0


def test_an_aim_that_was_not_measured_is_not_met() -> None:
    assert Aim("speed", 0.75, 0.75).met
    assert not Aim("speed", 0.75, 0.7499).met
    assert not Aim("speed", 0.75, None).met
    assert not Aim("wait", None, None, at_most=5.0).met


def test_an_aim_may_have_a_greatest_figure_or_both() -> None:
    assert [Aim("wait", None, measured, at_most=5.0).met for measured in (4.9, 5.0, 5.1)] == [True, True, False]
    assert [Aim("ratio", 0.9, measured, at_most=1.1).met for measured in (0.89, 1.0, 1.11)] == [False, True, False]


def test_processor_time_is_split_by_program_and_a_replaced_decoder_still_counts() -> None:
    before = {
        1: Used("server", own_s=10.0, ended_children_s=5.0),
        2: Used("decode", own_s=3.0, ended_children_s=0.0),
        3: Used("triton", own_s=1.0, ended_children_s=0.0),
        4: Used("model", own_s=7.0, ended_children_s=0.0),
    }
    after = {
        1: Used("server", own_s=12.0, ended_children_s=8.5),  # process 2 ended at 3.5 s of its life
        3: Used("triton", own_s=1.25, ended_children_s=0.0),
        4: Used("model", own_s=9.0, ended_children_s=0.0),
        5: Used("decode", own_s=0.25, ended_children_s=0.0),  # and process 5 took its place
    }
    assert spent(before, after) == {"server": 2.0, "decode": 0.75, "triton": 0.25, "model": 2.0, "other": 0.0}


def test_a_process_that_works_is_seen_working() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            before = look(process.pid)
            while spent(before, look(process.pid))["server"] <= 0:
                pass  # its counter moves in steps of 10 ms
        finally:
            process.kill()
    assert set(before) == {process.pid}


def test_every_scenario_has_a_name_of_its_own_and_comes_in_order() -> None:
    found = discover()
    assert [scenario.name for scenario in found][:6] == [
        "raw",
        "tag-image",
        "tag-images",
        "import",
        "logins",
        "login-time",
    ]
    assert len({scenario.name for scenario in found}) == len(found)
    assert all(isinstance(scenario, Scenario) and scenario.title for scenario in found)


@pytest.fixture
def results() -> Results:
    filled = Results("a title", seconds=1.26)
    yielded: Iterator[Row | Note | Aim] = iter(
        (
            Row("Speed", "local", {"photos_per_s": 41.23456789, "p99_ms": None, "errors": 0}),
            Row("Speed", "Triton", not_measured="no libpython"),
            Note("Medians."),
            Aim("share", 0.75, 0.5),
        )
    )
    for one in yielded:
        filled.add(one)
    return filled


def test_the_json_report_has_the_shape_that_programs_rely_on(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "bench.json"
    write_json(file, {"date": "2026-01-02", "machine": {"cores": 2}}, {"tag-image": results})
    assert json.loads(file.read_text()) == {
        "format": FORMAT,
        "date": "2026-01-02",
        "machine": {"cores": 2},
        "scenarios": {
            "tag-image": {
                "title": "a title",
                "seconds": 1.3,
                "rows": [
                    {
                        "table": "Speed",
                        "name": "local",
                        "figures": {"photos_per_s": 41.2346, "p99_ms": None, "errors": 0},
                    },
                    {"table": "Speed", "name": "Triton", "figures": {}, "not_measured": "no libpython"},
                ],
                "notes": ["Medians."],
                "aims": [{"what": "share", "at_least": 0.75, "measured": 0.5, "met": False}],
            }
        },
    }


def test_the_tables_say_what_was_not_measured_and_which_aim_was_missed(results: Results) -> None:
    file = StringIO()
    show(Console(file=file, width=120), results)
    said = file.getvalue()
    assert "41.2" in said
    assert "Triton: not measured: no libpython" in said
    assert "share: 0.50, aim 0.75: missed\n" in said


def test_an_aim_measured_on_a_busy_machine_proves_nothing(results: Results) -> None:
    file = StringIO()
    show(Console(file=file, width=120), results, busy=True)
    assert "missed, but the machine was busy" in file.getvalue()


def test_the_report_says_between_which_figures_an_aim_lies() -> None:
    filled, file = Results("a title"), StringIO()
    filled.add(Aim("wait", None, 4.0, at_most=5.0))
    filled.add(Aim("ratio", 0.9, 1.2, at_most=1.1))
    show(Console(file=file, width=120), filled)
    assert "wait: 4.00, aim at most 5: met\n" in file.getvalue()
    assert "ratio: 1.20, aim 0.9 to 1.1: missed\n" in file.getvalue()
    assert filled.as_json()["aims"] == [
        {"what": "wait", "at_most": 5.0, "measured": 4.0, "met": True},
        {"what": "ratio", "at_least": 0.9, "at_most": 1.1, "measured": 1.2, "met": False},
    ]


def test_headings_and_figures_read_like_prose() -> None:
    assert [heading(name) for name in ("photos_per_s", "p99_ms", "median_share", "errors")] == [
        "photos/s",
        "p99\nms",
        "median\nof raw",
        "errors",
    ]
    assert [shown(figure) for figure in (None, 3, "2 Overloaded", 0.0, 0.00003, 1.234, 12.34, 123.4)] == [
        "-",
        "3",
        "2 Overloaded",
        "0.00",
        "3e-05",
        "1.23",
        "12.3",
        "123",
    ]


def test_generated_photos_are_full_size_realistic_and_the_same_every_time(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    one, other = (generate(DEMO, folder, count=3) for folder in folders)
    assert [file.read_bytes() for file in one.files] == [file.read_bytes() for file in other.files]
    for file in one.files:
        assert 0.6 * SIZE_BYTES < file.stat().st_size < 1.4 * SIZE_BYTES
        with Image.open(file) as photo:
            assert (photo.format, photo.size) == ("JPEG", SIZE)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a photo")
    with pytest.raises(FileNotFoundError, match="no JPEG there"):
        from_folder(tmp_path)

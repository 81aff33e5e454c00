"""`tagwright-train agree`: full-size photos against the same photos made small."""

from __future__ import annotations

import json
from pathlib import Path

import bundles
import numpy as np
import photos
import pytest
from typer.testing import CliRunner

from tagwright_training import __main__ as command_line
from tagwright_training.agree import agreement


def _agree(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command_line.build(["agree"]), ["agree", *arguments])
    return result.exit_code, result.output


def test_photos_that_look_alike_at_both_sizes_agree(tmp_path: Path) -> None:
    bundles.write_repository(tmp_path / "models")
    (tmp_path / "photos").mkdir()
    for name in ("one", "two"):
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(photos.jpeg(300, 200))
    out = tmp_path / "agreement.json"
    code, output = _agree(str(tmp_path / "photos"), "--model-repository", str(tmp_path / "models"), "--out", str(out))
    assert code == 0, output
    written = json.loads(out.read_text())
    assert written["photos"] == 2
    served = written["frames"].pop("centre square, as served")
    assert served["mean_score_difference"] < 0.05
    assert all(other["mean_score_difference"] > served["mean_score_difference"] for other in written["frames"].values())


def test_agreement_counts_shared_tags_and_best_labels(tmp_path: Path) -> None:
    bundle = bundles.write_bundle(tmp_path, labels=("a", "b", "c", "d"), network=False)  # thresholds are 0.5
    one = np.array([[0.9, 0.6, 0.1, 0.0], [0.9, 0.6, 0.1, 0.0]], np.float32)
    other = np.array([[0.9, 0.6, 0.1, 0.0], [0.4, 0.7, 0.8, 0.0]], np.float32)
    found = agreement(bundle, one, other)
    assert found["tags_in_common"] == pytest.approx(3 / 5)  # a and b of the first; b, of a, b, c, in the second
    assert found["same_best_label"] == 0.5
    assert found["best_three_in_common"] == 1.0
    assert found["mean_score_difference"] == pytest.approx((0.5 + 0.1 + 0.7) / 8)


def test_a_folder_without_photos_and_a_model_that_is_not_there_are_said(tmp_path: Path) -> None:
    bundles.write_repository(tmp_path / "models", network=False)
    (tmp_path / "photos").mkdir()
    code, output = _agree(str(tmp_path / "photos"), "--model-repository", str(tmp_path / "models"))
    assert code == 1
    assert "has no photos" in output
    code, output = _agree(str(tmp_path / "photos"), "--model-repository", str(tmp_path / "models"), "--model", "other")
    assert "has no model 'other'" in output

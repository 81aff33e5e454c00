"""`make demo`: what a newcomer sees first has to work, and to fail with words."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

DEMO = Path(__file__).resolve().parents[2] / "demo"
PHOTOS = sorted((DEMO / "photos").glob("*.jpg"))
PATIENCE_S = 180


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEMO / "demo.py"), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE_S, check=False)


def test_the_demo_tags_every_sample_photo_and_ends_its_server(repository: Path) -> None:
    done = demo("--inference=local", f"--model-repository={repository}")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in PHOTOS if f"\n{path.name}  " not in done.stdout] == []
    assert "signed in as admin" in done.stdout
    assert "TorchScript" in done.stdout
    assert "tagger@1" in done.stdout
    assert done.stdout.count("inference ") == len(PHOTOS)
    assert "goodmorning" in done.stdout
    assert "sent once more: 4 photos, 0 bytes" in done.stdout
    assert "cat, which is a kind of animal; its owner's tag number 1" in " ".join(done.stdout.split())
    assert re.search(r"^\d  (small-)?cat\.jpg .* 1 more like it", done.stdout, re.MULTILINE)
    assert re.search(r"small-cat\.jpg .* looks the same", done.stdout)
    assert re.search(r"^hubble +0\.\d\d", done.stdout, re.MULTILINE)
    assert "The server has ended cleanly." in done.stdout
    assert "\x1b" not in done.stdout


def test_a_server_that_cannot_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    done = demo(f"--model-repository={tmp_path / 'none'}")
    assert done.returncode == 1
    assert "could not start (exit code 2)" in done.stderr
    assert str(tmp_path / "none") in done.stderr
    assert "What to try next" not in done.stdout


def test_every_sample_photo_is_small_and_credited() -> None:
    credits = (DEMO / "photos" / "CREDITS.md").read_text(encoding="utf-8")
    assert PHOTOS
    for path in PHOTOS:
        assert f"`{path.name}`" in credits
        assert path.stat().st_size <= 100_000
        with Image.open(path) as photo:
            assert max(photo.size) <= 640
            assert not photo.getexif()

"""The power is cut at any moment of keeping a photo's bytes: what `put` had promised by then can be read.

The system calls that it makes are replayed on a disk that forgets all that was not synced. Each sync is left out once,
to see that the test would notice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from model_disk import ModelDisk, Recorder, Step

from tagwright_server.store import blobs as module
from tagwright_server.store.blobs import FolderBlobs

PHOTO = b"the bytes of a photo" * 100
HALF = b"half of a photo"
DIGEST = hashlib.sha256(PHOTO).digest()
TESTED: Step = ("tested",)  # what comes after this in a scene is what it is about
PROMISED: Step = ("promised",)
REMOVED: Step = ("removed",)
Scene = Callable[[FolderBlobs, list[Step]], None]


def first(blobs: FolderBlobs, steps: list[Step]) -> None:
    """The bytes are new, and so is the folder."""
    steps.insert(0, TESTED)
    with blobs.put(DIGEST, PHOTO):
        steps.append(PROMISED)


def second(blobs: FolderBlobs, steps: list[Step]) -> None:
    """Another uploader has given the bytes their name and comes no further."""
    with blobs.put(DIGEST, PHOTO):
        pass
    del steps[next(i for i, step in enumerate(steps) if step[0] == "link") + 1 :]
    steps.append(TESTED)
    with blobs.put(DIGEST, PHOTO):
        steps.append(PROMISED)


def damaged(blobs: FolderBlobs, steps: list[Step]) -> None:
    """What is there has the wrong size."""
    with blobs.put(DIGEST, HALF):
        pass
    steps.append(TESTED)
    with blobs.put(DIGEST, PHOTO):
        steps.append(PROMISED)


def removed(blobs: FolderBlobs, steps: list[Step]) -> None:
    """They go for good."""
    with blobs.put(DIGEST, PHOTO):
        pass
    steps.append(TESTED)
    blobs.remove(DIGEST)
    steps.append(REMOVED)


SCENES: list[Scene] = [first, second, damaged, removed]


@pytest.mark.parametrize("scene", SCENES)
def test_a_power_cut_at_any_moment_breaks_no_promise(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, path = recorded(scene, tmp_path, monkeypatch)
    assert len(steps) > 250
    assert broken(steps, path, tmp_path) == []


@pytest.mark.parametrize(("scene", "n"), list(zip(SCENES, (5, 1, 2, 1), strict=True)))
def test_no_sync_could_be_left_out(scene: Scene, n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, path = recorded(scene, tmp_path, monkeypatch)
    syncs = [i for i, step in enumerate(steps) if step[0] == "fsync" and i > steps.index(TESTED)]
    assert len(syncs) == n
    for i in syncs:
        assert broken([*steps[:i], *steps[i + 1 :]], path, tmp_path), f"nobody would miss {steps[i]}"


def recorded(scene: Scene, root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Step], Path]:
    """The steps of a scene, from a disk without our folders on, and the path of the bytes."""
    recorder = Recorder()
    monkeypatch.setattr(module, "os", recorder)
    blobs = FolderBlobs(root / "data" / "photos")
    scene(blobs, recorder.steps)
    return recorder.steps, blobs.folder / DIGEST.hex()[:2] / DIGEST.hex()


def broken(steps: list[Step], path: Path, root: Path) -> list[int]:
    """The moments after which a power cut breaks a promise, or leaves what never was meant to be there."""
    moments = []
    for cut in range(len(steps) + 1):
        done = steps[:cut]
        found = ModelDisk(root).replay([step for step in done if len(step) > 1]).cut(path)
        promised = PROMISED in done and found != PHOTO
        back = REMOVED in done and found is not None
        if promised or back or found not in (None, HALF, PHOTO):
            moments.append(cut)
    return moments

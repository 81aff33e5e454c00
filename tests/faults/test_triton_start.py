"""What keeps an engine from starting is said in one line, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import platform
from pathlib import Path

import bundles
import pytest
from tritons import needs_triton, our_triton

from tagwright_server.errors import StartupError
from tagwright_server.inference import child
from tagwright_server.inference.bundle import Bundle, load_bundle
from tagwright_server.inference.engines import open_backend
from tagwright_server.inference.torchscript import LocalBackend
from tagwright_server.inference.triton import TritonBackend


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundles.write_bundle(tmp_path)


def no_network(bundle: Bundle) -> Bundle:
    """Replace the network by bytes that are none, under a digest that says so."""
    content = b"PK\x03\x04 no TorchScript"
    (bundle.path / "model.pt").write_bytes(content)
    bundles.edit_manifest(bundle, digest_sha256=hashlib.sha256(content).hexdigest())
    return load_bundle(bundle.path)


def other_canary(bundle: Bundle) -> Bundle:
    bundles.edit_manifest(bundle, canary={"scores": [0.5] * len(bundle.labels)})
    return load_bundle(bundle.path)


def test_in_this_process_a_file_that_is_no_network_is_refused(bundle: Bundle) -> None:
    with pytest.raises(StartupError, match=r"model\.pt is no TorchScript network") as refused:
        LocalBackend([no_network(bundle)])
    assert "\n" not in str(refused.value)


def test_in_this_process_a_network_that_is_not_its_manifests_is_refused(bundle: Bundle) -> None:
    with pytest.raises(StartupError, match="canary scores that are off by"):
        LocalBackend([other_canary(bundle)])


def test_a_network_swapped_after_the_check_is_not_loaded(bundle: Bundle) -> None:
    (bundle.path / "model.pt").write_bytes(b"swapped")
    with pytest.raises(StartupError, match="SHA-256"):
        LocalBackend([bundle])


@needs_triton
def test_triton_refuses_a_network_swapped_after_the_check(bundle: Bundle) -> None:
    (bundle.path / "model.pt").write_bytes(b"swapped")
    with pytest.raises(StartupError, match="is not the model that its manifest describes") as refused:
        TritonBackend([bundle])
    assert "\n" not in str(refused.value)
    assert not our_triton("tritonserver")


@needs_triton
def test_triton_with_a_network_that_is_not_its_manifests_never_becomes_ready(bundle: Bundle) -> None:
    with pytest.raises(StartupError, match="canary scores that are off by"):
        TritonBackend([other_canary(bundle)])
    assert not our_triton("tritonserver")


def test_auto_without_a_triton_says_why_in_one_line_and_runs_in_this_process(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with caplog.at_level(logging.WARNING):
        backend = open_backend("auto", [bundle])
    try:
        assert backend.engine.startswith("TorchScript")
        [line] = [record.getMessage() for record in caplog.records]
        assert "riscv64" in line
    finally:
        backend.close()


@pytest.mark.parametrize(
    ("missing", "said"),
    [("numpy 2", "numpy < 2"), ("libpython", "libpython3"), ("torch", "torch"), ("distribution", "nvidia-pytriton")],
)
def test_what_a_triton_of_our_own_lacks_is_named(monkeypatch: pytest.MonkeyPatch, missing: str, said: str) -> None:
    def not_installed(name: str) -> object:
        raise importlib.metadata.PackageNotFoundError(name)

    find_spec = importlib.util.find_spec
    if missing == "numpy 2":
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.4.0")
    elif missing == "libpython":
        monkeypatch.setattr(child, "_find_libpython", lambda version: None)
    elif missing == "torch":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    else:
        monkeypatch.setattr(importlib.metadata, "distribution", not_installed)
    why = child.why_no_triton()
    assert why is not None
    assert said in why
    assert "\n" not in why


@pytest.mark.parametrize("setting", ["", "gpu", "triton://", "triton://host", "triton://:8001", "triton://host:port"])
def test_a_setting_that_names_no_engine_is_refused(bundle: Bundle, setting: str) -> None:
    with pytest.raises(StartupError, match="--inference="):
        open_backend(setting, [bundle])

"""Our own Triton: the server of the PyPI distribution `nvidia-pytriton`, run as a child on a free loopback port.

`why_no_triton` says in one line what is missing, if anything; `Child` is one running process, with everything it was
given laid out in a temporary folder: the python backend, an interpreter like ours for its stubs, and exactly the
bundles that were checked, as links. (Triton could read the model repository in place; it would then write
`__pycache__` into it, and one half-copied model would keep every other from starting.) A keeper process sees to it
that nothing outlives us. This file imports neither pytriton nor torch.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib.metadata
import importlib.util
import logging
import os
import platform
import random
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagwright_server.errors import StartupError
from tagwright_server.inference import allocator
from tagwright_server.inference.bundle import Bundle

_log = logging.getLogger(__name__)
_DISTRIBUTION = "nvidia-pytriton"
_STOP_S = 5.0
_TELLING = ("' version ", "failed to load", "error:", "Error")  # what tells most in Triton's log, the best first
_PORTS = range(20_000, 32_000)
# What Triton may see of our environment: no setting or secret of ours.
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
_PASSED_ON_PREFIXES = ("CUDA_", "NVIDIA_", "OMP_", "MKL_", "GOMP_", "KMP_", "MALLOC_")


@dataclass(frozen=True, slots=True)
class _Installation:
    server: Path
    backend: Path
    stub: Path
    libraries: Path
    libpython: Path


def why_no_triton() -> str | None:
    """Return why this machine and interpreter cannot run a Triton of their own, in one line; None if they can."""
    found = _find()
    return found if isinstance(found, str) else None


class Child:
    """One Triton process. It lives from the constructor until `stop`, its own death or ours."""

    def __init__(self, bundles: Sequence[Bundle], *, environment: Mapping[str, str] | None = None) -> None:
        """Start it on `bundles`; `environment` is added to its own. Raises StartupError if it cannot be started."""
        found = _find()
        if isinstance(found, str):
            raise StartupError(found)
        self.id = f"tagwright-{uuid.uuid4().hex}"  # Triton answers with it: no stranger on our port is taken for it
        self.address = f"127.0.0.1:{_free_port()}"
        self._last_lines: deque[str] = deque(maxlen=200)
        folder = Path(tempfile.mkdtemp(prefix="tagwright-triton-"))
        _lay_out(folder, found, bundles)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(Path(__file__).parent / "keeper.py"), self.id, str(folder)),
                *_command(found, folder, self.id, self.address),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(found, folder) | dict(environment or {}),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_log, name="tagwright-triton-log", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The keeper's process id; Triton is its child."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process runs; that it answers is for a canary to say."""
        return self._process.poll() is None

    def last_error(self) -> str:
        """Return the line of its log that best says why it ended."""
        for mark in _TELLING:
            for line in reversed(list(self._last_lines)):
                if mark in line:
                    message = line.partition('] "')[2] or line
                    return message.replace("\\n", "\n").split("\n")[0].rstrip('"')
        return self._last_lines[-1] if self._last_lines else "it said nothing"

    def stop(self) -> None:
        """Kill it and everything it started; idempotent."""
        assert self._process.stdin is not None  # opened as a pipe above; for mypy
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:  # the keeper itself hangs; the kernel ends Triton with it
            self._process.kill()
            self._process.wait()
        self._reader.join(_STOP_S)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for raw in lines:
                line = raw.decode("utf-8", "replace").rstrip()
                if line and not line.startswith(("+", "|")):  # Triton's tables
                    self._last_lines.append(line)
                    _log.debug("triton: %s", line)  # the supervisor says what matters, in our words


def _find() -> _Installation | str:
    """Find everything a Triton of our own needs, or say in one line what is missing."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"Triton from PyPI runs on Linux x86-64 only, this is {platform.system()} {platform.machine()}"
    for package in ("torch", "tritonclient", "grpc"):
        if importlib.util.find_spec(package) is None:
            return f"a Triton of our own needs {package}, which is not installed"
    try:
        installed = importlib.metadata.distribution(_DISTRIBUTION)
        numpy = importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError as err:
        return f"a Triton of our own needs {err.name}, which is not installed"
    if int(numpy.partition(".")[0]) >= 2:
        return f"Triton's Python stub needs numpy < 2 (newer gives empty outputs), {numpy} is installed"
    root = Path(str(installed.locate_file("pytriton/tritonserver")))
    stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
    server = root / "bin" / "tritonserver"
    if not (stub.is_file() and server.is_file()):
        return f"{_DISTRIBUTION} {installed.version} brings no Triton for Python {version}"
    libpython = _find_libpython(version)
    if libpython is None:
        return f"Triton's Python stub needs libpython{version}.so.1.0, which is not installed"
    libraries = Path(str(installed.locate_file("nvidia_pytriton.libs")))
    return _Installation(server, root / "backends" / "python", stub, libraries, libpython)


def _find_libpython(version: str) -> Path | None:
    name = f"libpython{version}.so.1.0"
    prefix = Path(sys.base_prefix) / "lib"
    folders = [Path(sysconfig.get_config_var("LIBDIR") or prefix), prefix, prefix / "x86_64-linux-gnu"]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    # The loader's own list; only for an interpreter of the same place, since another build may differ from ours.
    if ctypes.util.find_library(f"python{version}") == name:
        for folder in (Path("/lib/x86_64-linux-gnu"), Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")):
            if (folder / name).is_file():
                return folder / name
    return None


def _lay_out(folder: Path, found: _Installation, bundles: Sequence[Bundle]) -> None:
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    for part in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (backend / part).symlink_to(found.backend / part)
    (backend / found.stub.name).symlink_to(found.stub)

    # The stub starts its interpreter in isolation and finds it as `python3` on PATH: a virtual environment with our
    # own import path, whatever we were started from.
    packages = folder / "python" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (folder / "python" / "bin").mkdir()
    (folder / "python" / "bin" / "python3").symlink_to(sys.executable)
    home = Path(getattr(sys, "_base_executable", sys.executable)).parent
    (folder / "python" / "pyvenv.cfg").write_text(f"home = {home}\n", encoding="utf-8")
    paths = [path for path in sys.path if Path(path).is_absolute() and Path(path).is_dir()]
    (packages / "tagwright.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")

    for bundle in bundles:
        model = folder / "models" / bundle.name
        (model / bundle.version).mkdir(parents=True)
        (model / "config.pbtxt").symlink_to((bundle.path.parent / "configs" / "python.pbtxt").absolute())
        for file in ("model.pt", "manifest.json", "model.py"):
            (model / bundle.version / file).symlink_to((bundle.path / file).absolute())


def _command(found: _Installation, folder: Path, id: str, address: str) -> list[str]:
    host, port = address.split(":")
    return [
        str(found.server),
        f"--id={id}",
        f"--model-repository={folder / 'models'}",
        f"--backend-directory={folder / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={id}",
        f"--grpc-address={host}",
        f"--grpc-port={port}",
        "--reuse-grpc-port=false",
        "--allow-http=false",
        "--allow-metrics=false",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--pinned-memory-pool-byte-size=0",  # for copies to a GPU that pytorch does itself
        "--exit-on-error=true",
    ]


def _environment(found: _Installation, folder: Path) -> dict[str, str]:
    ours = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    libraries = [str(found.libraries), str(found.libpython.parent), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        **allocator.CHILD_ENVIRONMENT,
        **ours,
        "PATH": f"{folder / 'python' / 'bin'}:/usr/bin:/bin",  # the backend starts its stubs through a shell
        "LD_LIBRARY_PATH": ":".join(path for path in libraries if path),
    }


def _free_port() -> int:
    """Return a free port outside the range from which the kernel gives ports to outgoing connections."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StartupError("no free port for Triton on 127.0.0.1")

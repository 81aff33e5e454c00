"""Generates the typed Python stubs from the .proto files, and checks them.

    python protos/generate.py           rewrite protos/python/tagwright/v1
    python protos/generate.py --check   change nothing; fail where the committed stubs differ, where the contract
                                        breaks buf's lint rules, or where it breaks callers of the last release

It runs in the environment of requirements/proto.txt (`make proto`), never in the one that Tagwright runs in: what
grpcio-tools 1.71.2 generates imports on protobuf 5, 6 and 7, what newer ones generate does not.
"""

import argparse
import filecmp
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
PACKAGE = Path("tagwright/v1")
SITE_PACKAGES = sysconfig.get_path("purelib")  # google/rpc/*.proto, from googleapis-common-protos
SCRIPTS = sysconfig.get_path("scripts")  # buf and the protoc plugins


def generate(out: Path, protos: Path = PROTOS) -> None:
    """Writes the stubs of every .proto of `protos` below `out`."""
    files = sorted((protos / PACKAGE).glob("*.proto"))
    services = [file for file in files if file.stem.endswith("_service")]
    _protoc(protos, f"--python_out={out}", f"--mypy_out=quiet:{out}", *map(str, files))
    _protoc(protos, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *map(str, services))


def drift(committed: Path) -> list[str]:
    """Names of the generated files that differ from what the .proto files give now, or that nothing generates."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder) / PACKAGE
        names = {path.name for path in fresh.iterdir()} | {path.name for path in committed.glob("*_pb2*.py*")}
        return sorted(
            name
            for name in names
            if not (fresh / name).is_file()
            or not (committed / name).is_file()
            or not filecmp.cmp(fresh / name, committed / name, shallow=False)
        )


def lint() -> bool:
    """Whether buf finds nothing to say about the contract; what it finds goes to the terminal."""
    with tempfile.TemporaryDirectory() as folder:
        return _buf("lint", _image(PROTOS, Path(folder) / "now.binpb"))


def keeps_promises(tag: str) -> bool:
    """Whether callers built against release `tag` still work; what breaks them goes to the terminal."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", tag, "."], cwd=PROTOS, check=True, stdout=subprocess.PIPE)
        before = Path(folder) / "before"
        before.mkdir()
        subprocess.run(["tar", "-x", "-C", str(before)], input=archive.stdout, check=True)
        image = _image(before, Path(folder) / "before.binpb")
        return _buf("breaking", _image(PROTOS, Path(folder) / "now.binpb"), "--against", str(image))


def last_release() -> str | None:
    """The newest tag `v*` that this commit descends from and that has protos, or None before the first release."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]
    try:
        described = subprocess.run(command, cwd=PROTOS, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git: an unpacked source archive has no releases either
        return None
    return described.stdout.strip() or None


def _image(protos: Path, out: Path) -> Path:
    """Compiles `protos` with everything imported into a descriptor set, which is what buf reads without a network."""
    files = sorted(map(str, (protos / PACKAGE).glob("*.proto")))
    _protoc(protos, "--include_imports", "--include_source_info", f"--descriptor_set_out={out}", *files)
    return out


def _protoc(protos: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{SITE_PACKAGES}", *arguments]
    subprocess.run(command, check=True, env=os.environ | {"PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"})


def _buf(verb: str, image: Path, *arguments: str) -> bool:
    # --path: the imported google files are in the image too and keep rules of their own.
    command = [f"{SCRIPTS}/buf", verb, str(image), "--config", str(PROTOS / "buf.yaml"), "--path", "tagwright"]
    return subprocess.run([*command, *arguments], check=False).returncode == 0


def main() -> int:
    """Runs what the command line asks for; 1 where a check failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, only compare, lint and look for breaks")
    if not parser.parse_args().check:
        generate(PROTOS / "python")
        return 0
    complaints = [
        f"protos/python/{PACKAGE}/{name} is out of date: run make proto" for name in drift(PROTOS / "python" / PACKAGE)
    ]
    if not lint():
        complaints.append("buf lint: see above")
    release = last_release()
    if release is not None and not keeps_promises(release):
        complaints.append(f"buf breaking against {release}: see above")
    print(
        "\n".join(complaints)
        or "protos: stubs are fresh, lint is clean, " + (f"{release} is kept" if release else "no release to break yet")
    )
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

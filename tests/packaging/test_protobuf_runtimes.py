"""The stubs work on every protobuf that tagwright-protos allows."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dists
import pytest

RUNTIMES = {"5": "5.29.", "6": "6.33.", "7": "7."}
SCRIPT = """
import sys
sys.path[:0] = sys.argv[1:3]
import google.protobuf, grpc
from google.rpc.status_pb2 import Status
from tagwright.v1 import error_reason_pb2, model_pb2, tag_pb2, tagging_service_pb2, tagging_service_pb2_grpc
tag = tag_pb2.Tag(name="dog", score=0.5, state=tag_pb2.TAG_STATE_SUGGESTED)
failed = tagging_service_pb2.TagImagesResult(error=Status(code=3, message="no photo"))
tagged = tagging_service_pb2.TagImagesResult(tags=tag_pb2.ImageTags(tags=[tag]))
sent = tagging_service_pb2.TagImagesResponse(results=[tagged, failed])
got = tagging_service_pb2.TagImagesResponse.FromString(sent.SerializeToString())
assert got == sent and got.results[1].WhichOneof("result") == "error", got
tagging_service_pb2_grpc.TaggingServiceStub(grpc.insecure_channel("127.0.0.1:1")).TagImage
print(google.protobuf.__version__)
"""


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with each protobuf and what goes with it, as locked."""
    folders = {major: tmp_path_factory.mktemp(f"protobuf-{major}") for major in RUNTIMES}
    with ThreadPoolExecutor() as threads:
        list(threads.map(_install, folders, folders.values()))
    return folders


@pytest.mark.parametrize("major", RUNTIMES)
def test_the_stubs_work_on_protobuf(major: str, runtimes: dict[str, Path], wheels: dict[str, Path]) -> None:
    # -I -S: nothing of the environment that the tests run in is to be seen.
    command = [sys.executable, "-I", "-S", "-c", SCRIPT, str(runtimes[major]), str(wheels["tagwright-protos"])]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(RUNTIMES[major])
    assert ended.stderr == ""


def _install(major: str, folder: Path) -> None:
    lock = dists.ROOT / "requirements" / f"protobuf-{major}.txt"
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-compile", "--require-hashes"]
    subprocess.run([*command, "--target", str(folder), "--requirement", str(lock)], check=True)

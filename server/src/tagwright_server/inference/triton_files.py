"""The files Triton wants beside `model.pt`, written from the manifest so that their sizes cannot disagree with it.

    NAME/config.pbtxt            for `pytorch_libtorch`, the C++ backend of Triton's full distribution (production, GPU)
    NAME/configs/python.pbtxt    for the python backend of the PyPI distribution (--model-config-name=python)
    NAME/VERSION/model.py        what the python backend runs: the same model.pt (the text of `triton_model.py`)

The tensors' names follow the rule of pytorch_libtorch, `<name>__<index>`: the index is the place among forward()'s
arguments or in the tuple it returns, so the order of the lines in a configuration means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tagwright_server.inference.bundle import Bundle

INPUT = "PIXELS__0"
SCORES = "SCORES__0"
EMBEDDING = "EMBEDDING__1"
SECONDS = "SECONDS__2"  # python variant only: how long the forward pass took, the same for every photo of a batch
DIGEST = "tagwright-digest"  # parameter that tells a client which model.pt it meets


@dataclass(frozen=True, slots=True)
class Limits:
    """How much waits, and for how long; reliability.md, section 3."""

    queue_size: int = 64
    queue_delay_us: int = 2_000  # what a photo waits at most for others to share its batch
    queue_timeout_us: int = 2_000_000  # waiting longer is refused; a request may ask for less
    instances: int = 2  # they share the cores; two small teams wait less than one large one (docs/speed.md)
    python: dict[str, str] = field(default_factory=dict)  # parameters of triton_model.py; empty: its own defaults


def write(bundle: Bundle, limits: Limits | None = None) -> None:
    """Write the three files for `bundle` into its folders."""
    limits = limits or Limits()
    folder = bundle.path.parent
    (folder / "configs").mkdir(exist_ok=True)
    (folder / "config.pbtxt").write_text(libtorch_config(bundle, limits), encoding="utf-8")
    (folder / "configs" / "python.pbtxt").write_text(python_config(bundle, limits), encoding="utf-8")
    (bundle.path / "model.py").write_text(model_script(), encoding="utf-8")


def libtorch_config(bundle: Bundle, limits: Limits) -> str:
    """Return config.pbtxt for Triton's full distribution."""
    engine = 'platform: "pytorch_libtorch"\n'
    # Profiling executor off: it recompiles per input shape, which would put a pause of seconds into the first calls.
    options = _parameter("DISABLE_OPTIMIZED_EXECUTION", "true")
    return _config(bundle, limits, engine, "", options)


def python_config(bundle: Bundle, limits: Limits) -> str:
    """Return configs/python.pbtxt for the PyPI distribution, which has the python backend only."""
    seconds = _output(SECONDS, 1)
    options = "".join(_parameter(key, value) for key, value in sorted(limits.python.items()))
    return _config(bundle, limits, 'backend: "python"\n', seconds, options)


def model_script() -> str:
    """Return the text of model.py."""
    return (Path(__file__).parent / "triton_model.py").read_text(encoding="utf-8")


def _config(bundle: Bundle, limits: Limits, engine: str, outputs: str, options: str) -> str:
    warmups = "".join(_warmup(bundle, size) for size in range(1, bundle.max_batch_size + 1))
    return f"""\
# Written from manifest.json by tagwright_server.inference.triton_files; change it there.
name: "{bundle.name}"
{engine}max_batch_size: {bundle.max_batch_size}
input {{
  name: "{INPUT}"
  data_type: TYPE_UINT8
  dims: [ {bundle.size}, {bundle.size}, 3 ]
}}
{_output(SCORES, len(bundle.labels))}{_output(EMBEDDING, bundle.embedding_size)}{outputs}\
version_policy {{ latest {{ num_versions: 1 }} }}
# KIND_AUTO: on a GPU where there is one, on the CPU otherwise.
instance_group {{
  count: {limits.instances}
  kind: KIND_AUTO
}}
dynamic_batching {{
  max_queue_delay_microseconds: {limits.queue_delay_us}
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {limits.queue_timeout_us}
    allow_timeout_override: true
    max_queue_size: {limits.queue_size}
  }}
}}
{_parameter(DIGEST, bundle.digest)}{options}{warmups}"""


def _output(name: str, width: int) -> str:
    return f"""\
output {{
  name: "{name}"
  data_type: TYPE_FP32
  dims: [ {width} ]
}}
"""


def _parameter(key: str, value: str) -> str:
    return f"""\
parameters {{
  key: "{key}"
  value {{ string_value: "{value}" }}
}}
"""


def _warmup(bundle: Bundle, batch_size: int) -> str:
    return f"""\
model_warmup {{
  name: "batch of {batch_size}"
  batch_size: {batch_size}
  inputs {{
    key: "{INPUT}"
    value {{
      data_type: TYPE_UINT8
      dims: [ {bundle.size}, {bundle.size}, 3 ]
      random_data: true
    }}
  }}
}}
"""

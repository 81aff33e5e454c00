"""What the client returns: frozen values in plain Python types, each field with its unit. No protobuf in here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._errors import TagwrightError
    from ._photos import Photo


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a score: its kind (such as "MODEL_SCORE"), in words, and as a number beside its threshold.

    `image_ids` are photos that it rests on, the most alike first; `tags` other tags, the strongest first.
    """

    kind: str
    text: str
    value: float
    threshold: float | None
    image_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of one photo.

    `score` is the calibrated probability, 0 to 1, that the tag is right; None where nothing has judged it, as with a
    tag that a person typed and the model does not know. `state` is SUGGESTED, CONFIRMED or REJECTED; `source` is USER,
    MODEL, REFINEMENT or IMPORT.
    """

    name: str
    score: float | None
    state: str
    source: str
    model_version: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class TagDecision:
    """What refinement says of one tag of one photo, and why, the strongest reason first.

    `decision` is KEEP, REMOVE, ADD (it is missing) or UNSURE (a person should look). `score` is the calibrated
    probability, 0 to 1, that the tag is right; None where it cannot be judged by looking.
    """

    name: str
    score: float | None
    decision: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one call went, in milliseconds; None for what the server did not tell.

    `decode_ms`, `queue_ms` (waiting for a free worker and for the model), `inference_ms`, `refinement_ms`, `store_ms`
    and `search_ms` (0 where nothing was searched) are the server's own; `total_ms` is what this client saw, from the
    request that it sent to the answer.
    """

    decode_ms: float | None
    queue_ms: float | None
    inference_ms: float | None
    total_ms: float
    store_ms: float | None = None
    refinement_ms: float | None = None
    search_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class PhotoTags:
    """The tags of one photo, best score first, those without a score last.

    `width` and `height` are in pixels as people see the photo (orientation applied), `format` is JPEG, PNG or WEBP.
    `embedding` is empty unless it was asked for; it has length one (L2). `model_version` is `name@version`.

    `image_id` is the id under which the photo is kept, None where it is not; `existing` says that this account had
    stored it before. `near_duplicate_ids` are photos that look the same to the eye, told where it is newly stored.

    `decisions` are what refinement says of the user tags that were given, and which tags it adds; empty where none were
    given, or the model has no refiner.
    """

    tags: tuple[Tag, ...]
    model_version: str
    width: int
    height: int
    format: str
    embedding: tuple[float, ...]
    timings: Timings
    image_id: str | None = None
    existing: bool = False
    near_duplicate_ids: tuple[str, ...] = ()
    decisions: tuple[TagDecision, ...] = ()


@dataclass(frozen=True, slots=True)
class Refinement:
    """What refinement says of one photo: its user tags in their order, then those to add, best score first.

    `model_version` is `name@version`. `library_size` is how many photos could vote: those of the server that one may
    see, and those that come with the model. `embedding` is empty unless it was asked for; it has length one (L2).
    """

    decisions: tuple[TagDecision, ...]
    model_version: str
    library_size: int
    embedding: tuple[float, ...]
    timings: Timings


@dataclass(frozen=True, slots=True)
class TagManyResult:
    """What became of one photo of `tag_many`: either `tags` or `error` is set, never both.

    `index` counts from 0 in the order of the photos given; `photo` is the very object that was given.
    """

    index: int
    photo: Photo
    tags: PhotoTags | None = None
    error: TagwrightError | None = None


@dataclass(frozen=True, slots=True)
class ModelLabel:
    """One label of a model.

    `thresholds` maps a target precision (such as 0.9) to the smallest score that reaches it, or to None where this
    label never does. `average_precision` (0 to 1) was measured on photos that training never saw.
    """

    name: str
    default_threshold: float
    thresholds: Mapping[float, float | None]
    average_precision: float


@dataclass(frozen=True, slots=True)
class Model:
    """One model that the server can run; `digest` is the SHA-256 of its network's file, in hexadecimal.

    `refines`: whether it judges user tags; `batch_refiners`: its refiners of whole libraries, which `retag` takes as
    models, each `name@version`.
    """

    name: str
    version: str
    is_default: bool
    labels: tuple[ModelLabel, ...]
    metrics: Mapping[str, float]
    digest: str
    architecture: str
    embedding_size: int
    create_time: datetime | None
    refines: bool = False
    batch_refiners: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """`name@version`, as answers name the model and as `model=` takes it."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The models of a server, the default one first, the engine that runs them, and since when in seconds."""

    models: tuple[Model, ...]
    engine: str
    uptime_s: float

    def __iter__(self) -> Iterator[Model]:
        """Go through the models, the default one first."""
        return iter(self.models)

    def __len__(self) -> int:
        """How many models are served."""
        return len(self.models)

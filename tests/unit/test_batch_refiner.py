"""A batch refiner from its bundle: what it refuses to load, and that it scores as training's fold-in does."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwright_server.errors import StartupError
from tagwright_server.refinement.batch import BatchRefiner, FactorFold, LinearFold, RectifiedFold
from tagwright_training.refinement.corpus import Embedded, TagMatrix
from tagwright_training.refinement.folding import BatchMethod, FittedModel, Refining
from tagwright_training.refinement.network import Learning
from tagwright_training.refinement.robust_pca import RobustPca
from tagwright_training.refinement.wdmf import Wdmf
from tagwright_training.refinement.wdnl import Wdnl

pytestmark = pytest.mark.unit

LEARNING = Learning(hidden=(8, 6), ridge=1.0)
METHODS: dict[str, BatchMethod] = {
    "robust-pca": RobustPca(voters=10, iterations=5),
    "wdmf": Wdmf(rank=6, sweeps=2, learning=LEARNING),
    "wdnl": Wdnl(rounds=1, steps=2, learning=LEARNING),
}
FACTS = {
    "name": "mine",
    "version": "1",
    "base": {"model": "tagger@1", "digest_sha256": "0" * 64},
    "created": "2026-01-02T03:04:05+00:00",
    "thresholds": {"add": {"0.9": 0.8}, "remove": {"0.9": None}},
    "metrics": {"map_14": 0.6},
}


def _floats(*rows: Any) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def _library(photos: int = 150, size: int = 8, seed: int = 5) -> Embedded:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(photos, size))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    names = ["sky", "dog", "nikon", "night", "café", "🐶"]
    likely = x @ rng.normal(size=(size, 6)) + 0.5 * rng.normal(size=(photos, 6)) > 0.8
    lists = [[names[j] for j in np.flatnonzero(row)] for row in likely]
    return Embedded(vectors=x, tags=TagMatrix.from_lists(lists, names=names))


def _silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module", params=sorted(METHODS))
def model(request: pytest.FixtureRequest) -> FittedModel:
    return METHODS[request.param].fit(_library(), _silent)


@pytest.fixture
def bundle(tmp_path: Path, model: FittedModel) -> Path:
    slope, offset = np.linspace(1, 3, 6, dtype=np.float32), np.linspace(-2, 0, 6, dtype=np.float32)
    model.to_bundle(tmp_path / "mine", FACTS, slope=slope, offset=offset)
    return tmp_path / "mine"


def test_the_server_scores_a_new_photo_as_training_folds_it_in(bundle: Path, model: FittedModel) -> None:
    photos = _library(40, seed=6)
    refiner = BatchRefiner.load(bundle)
    folded = model.fold_in(photos.vectors, photos.tags)
    expected = 1 / (1 + np.exp(-(folded * np.linspace(1, 3, 6) + np.linspace(-2, 0, 6))))
    for row, vector in enumerate(photos.vectors):
        found = refiner.scores(vector, photos.tags.typed(row))
        assert tuple(found) == model.names
        assert np.allclose(list(found.values()), expected[row], atol=5e-3)  # the bundle holds float16


def test_scores_are_probabilities_whatever_the_photo_and_its_tags(bundle: Path) -> None:
    refiner = BatchRefiner.load(bundle)
    vector = np.zeros(8, np.float32)
    for tags in ((), ("sky",), ("unknown", "🦄", "x" * 10_000), tuple(refiner.names) * 40):
        assert all(0 <= score <= 1 for score in refiner.scores(vector, tags).values())


def test_unknown_and_repeated_tags_count_for_nothing(bundle: Path) -> None:
    refiner = BatchRefiner.load(bundle)
    vector = _library().vectors[0]
    assert refiner.scores(vector, ["sky", "sky", "who knows"]) == refiner.scores(vector, ["sky"])


@pytest.mark.parametrize("vector", [np.zeros(7), np.full(8, np.nan), np.zeros((1, 8))])
def test_a_vector_that_is_not_the_taggers_is_refused(bundle: Path, vector: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="8 finite numbers"):
        BatchRefiner.load(bundle).scores(vector, [])


def test_the_manifest_says_what_was_fitted(bundle: Path, model: FittedModel) -> None:
    manifest = BatchRefiner.load(bundle).manifest
    assert (manifest.method, manifest.vocabulary_size, manifest.embedding_size) == (model.method, 6, 8)
    assert manifest.thresholds["add"] == {"0.9": 0.8}
    assert manifest.base.model == "tagger@1"


def test_factors_are_half_floats_and_hold_no_object(bundle: Path, model: FittedModel) -> None:
    with np.load(bundle / "factors.npz", allow_pickle=False) as arrays:
        assert {arrays[name].dtype for name in model.arrays} == {np.dtype(np.float16)}


# What is refused, in one line


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the arrays and let the manifest describe the changed file."""
    with np.load(folder / "factors.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    file = io.BytesIO()
    np.savez(file, **arrays)
    (folder / "factors.npz").write_bytes(file.getvalue())
    _say(folder, digest_sha256=hashlib.sha256(file.getvalue()).hexdigest())


def _say(folder: Path, **changes: Any) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def _refusal(folder: Path) -> str:
    with pytest.raises(StartupError) as caught:
        BatchRefiner.load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(folder))
    return text


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    METHODS["robust-pca"].fit(_library(), _silent).to_bundle(tmp_path / "mine", FACTS)
    return tmp_path / "mine"


def test_one_changed_byte_is_refused(plain: Path) -> None:
    content = bytearray((plain / "factors.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (plain / "factors.npz").write_bytes(content)
    assert "SHA-256" in _refusal(plain)


def test_a_missing_file_is_refused(plain: Path) -> None:
    (plain / "factors.npz").unlink()
    assert "cannot be read" in _refusal(plain)
    (plain / "manifest.json").unlink()
    assert "cannot be read" in _refusal(plain)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "mine"}'])
def test_a_manifest_that_is_none_is_refused(plain: Path, text: str) -> None:
    (plain / "manifest.json").write_text(text, encoding="utf-8")
    _refusal(plain)


@pytest.mark.parametrize(
    ("field", "value"),
    [("method", "magic"), ("version", "0"), ("name", "../x"), ("base", {"model": "tagger", "digest_sha256": "0" * 64})],
)
def test_a_manifest_with_a_wrong_field_is_refused_by_its_name(plain: Path, field: str, value: Any) -> None:
    _say(plain, **{field: value})
    assert f"{field}" in _refusal(plain)


@pytest.mark.parametrize(("field", "value"), [("vocabulary_size", 7), ("embedding_size", 9), ("method", "wdnl")])
def test_arrays_of_other_sizes_than_the_manifest_says_are_refused(plain: Path, field: str, value: Any) -> None:
    _say(plain, **{field: value})
    _refusal(plain)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("basis"),
        lambda arrays: arrays.update(basis=arrays["basis"][:, :2]),
        lambda arrays: arrays.update(basis=arrays["basis"][0]),
        lambda arrays: arrays.update(gain=arrays["gain"].astype(np.int16)),
        lambda arrays: arrays.update(scale=arrays["scale"] * np.nan),
        lambda arrays: arrays.update(names=np.frombuffer(b"a\na\nb\nc\nd\ne", np.uint8)),
        lambda arrays: arrays.update(names=np.frombuffer(b"a\nb", np.uint8)),
        lambda arrays: arrays.update(names=np.array([255, 10], np.uint8)),
        lambda arrays: arrays.update(names=np.array(["sky"])),
        lambda arrays: arrays.update(gain=np.array([{}], dtype=object)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(plain: Path, change: Callable[[dict[str, Any]], None]) -> None:
    _rewrite(plain, change)
    _refusal(plain)


def test_a_file_that_is_no_archive_is_refused(plain: Path) -> None:
    (plain / "factors.npz").write_bytes(b"PK\x03\x04 and nothing")
    _say(plain, digest_sha256=hashlib.sha256((plain / "factors.npz").read_bytes()).hexdigest())
    assert "archive" in _refusal(plain)


# The folds, by hand


def test_a_linear_fold_by_hand() -> None:
    """x = 2, own = .25: u = .75 (2 * 3 + 1) + .25 * (1 / .5) = 5.75 ; halved by the gain, times the scale."""
    fold = LinearFold(_floats([3]), _floats(1), _floats([1]), _floats(0.5), _floats(0.5), _floats(0.25))
    assert fold.scores(_floats([2]), _floats([1])).tolist() == [[5.75 * 0.5 * 0.5]]


def test_a_factor_fold_by_hand() -> None:
    """f(2) = 2 * 3 + 1 + relu(relu(2) * 1) * 1 = 9; (4 + 3 * 4 + .5 + 2) u = 4 * 2 / .5 + 2 * 9; score = .5 * 2 u."""
    fold = FactorFold(
        first=_floats([1]), first_bias=_floats(0), second=_floats([1]), second_bias=_floats(0), last=_floats([1]),
        linear=_floats([3]), bias=_floats(1), tag_factors=_floats([2]), weights=_floats(3, 0.5, 2), scale=_floats(0.5),
    )  # fmt: skip
    assert np.allclose(fold.scores(_floats([2]), _floats([1])), [[34 / 18.5]])
    assert np.allclose(fold.scores(_floats([2]), _floats([0])), [[18 / 6.5]])


def test_a_rectified_fold_by_hand() -> None:
    """f(2) = 2 * -3 + 1 + 2 = -3, so F = 0; G = 0 - .5 (0 + 3) = -1.5; y = 2: 2 + soft(-3.5, .2) = -1.3, and F = 0."""
    fold = RectifiedFold(
        first=_floats([1]), first_bias=_floats(0), second=_floats([1]), second_bias=_floats(0), last=_floats([1]),
        linear=_floats([-3]), bias=_floats(1), basis=_floats([1]), gain=_floats(0.5), tag_graph=_floats([0]),
        weights=_floats(0.5, 0, 0.4, 0.1, 1), scale=_floats(0.5),
    )  # fmt: skip
    assert fold.scores(_floats([2]), _floats([1])).tolist() == [[0]]
    # x = -1: f = 3 + 1 + 0 = 4 = F = G; y = 0: soft(4, .05) = 3.95, halved, times the scale
    assert np.allclose(fold.scores(_floats([-1]), _floats([0])), [[3.95 * 0.5 * 0.5]])


# In the evaluation


def test_a_method_gives_the_evaluation_a_column_a_name_whether_folded_in_or_fitted_along() -> None:
    library, photos = _library(), _library(20, seed=6)
    for jointly in (False, True):
        method = Refining(METHODS["robust-pca"], jointly=jointly, min_photos=5)
        scores = method.scores(library, photos, ["dog", "never typed", "sky"])
        assert scores.shape == (20, 3)
        assert np.abs(scores[:, 1]).max() == 0
        assert scores[:, 0].std() > 0


def test_a_rare_tag_takes_part_if_it_is_asked_for() -> None:
    library, photos = _library(), _library(20, seed=6)
    method = Refining(METHODS["robust-pca"], min_photos=100_000)
    assert method.scores(library, photos, ["dog", "sky"]).std(axis=0).min() > 0

"""What every engine promises, once for TorchScript in this process and once for a real Triton; and that they agree."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import pytest
from numpy.typing import NDArray
from tritons import needs_triton

from tagwright_server.errors import DeadlineExceeded, ModelUnavailable, Overloaded, TagwrightError
from tagwright_server.inference.backend import Backend, canary, check_canary
from tagwright_server.inference.bundle import Bundle
from tagwright_server.inference.torchscript import LocalBackend
from tagwright_server.inference.triton import TritonBackend
from tagwright_server.inference.triton_files import Limits

PARITY = 1e-4
LIMITS = Limits(queue_size=32)
TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("repository")
    written = bundles.write_repository(folder, ("plain-cnn", "tagger"), limits=LIMITS)
    slow = bundles.write_bundle(folder, "slow", work=30, max_batch_size=2, limits=LIMITS)
    return {bundle.name: bundle for bundle in (*written, slow)}


@pytest.fixture(scope="module")
def local(models: dict[str, Bundle]) -> Iterator[Backend]:
    backend = LocalBackend(list(models.values()), limits=LIMITS)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def triton(models: dict[str, Bundle]) -> Iterator[Backend]:
    backend = TritonBackend(list(models.values()))
    yield backend
    backend.close()


def photos(n: int, size: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(n).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


class BackendContract:
    """Inherited once for each engine."""

    def test_it_is_ready_once_it_is_open_and_names_its_version(self, backend: Backend) -> None:
        assert backend.ready()
        assert any(character.isdigit() for character in backend.engine)

    def test_its_canary_scores_are_those_of_the_manifest(self, backend: Backend, models: dict[str, Bundle]) -> None:
        for model in models.values():
            check_canary(model, backend.infer(model, canary(model), timeout_s=TIMEOUT_S).scores)

    @pytest.mark.parametrize("n", [1, 7, 8, 9, 64])
    def test_photos_keep_their_order_however_many_come_at_once(
        self, backend: Backend, models: dict[str, Bundle], n: int
    ) -> None:
        tagger, some = models["tagger"], photos(n)
        together = backend.infer(tagger, some, timeout_s=TIMEOUT_S)
        assert together.scores.shape == (n, len(tagger.labels))
        assert together.embedding.shape == (n, tagger.embedding_size)
        for i in {0, n // 2, n - 1}:
            alone = backend.infer(tagger, some[i : i + 1], timeout_s=TIMEOUT_S)
            np.testing.assert_allclose(together.scores[i], alone.scores[0], atol=PARITY)
            np.testing.assert_allclose(together.embedding[i], alone.embedding[0], atol=PARITY)

    def test_it_says_how_long_photos_waited_and_how_long_the_network_took(
        self, backend: Backend, models: dict[str, Bundle]
    ) -> None:
        started = time.monotonic()
        prediction = backend.infer(models["slow"], photos(2), timeout_s=TIMEOUT_S)
        assert prediction.inference_s > 0
        assert prediction.queue_s >= 0
        assert prediction.queue_s + prediction.inference_s <= time.monotonic() - started

    def test_callers_at_the_same_time_each_get_their_own_answer(
        self, backend: Backend, models: dict[str, Bundle]
    ) -> None:
        some = photos(24)
        names = ("tagger", "plain-cnn")
        expected = {name: backend.infer(models[name], some, timeout_s=TIMEOUT_S).scores for name in names}

        def call(turn: tuple[str, int]) -> NDArray[np.float32]:
            name, i = turn
            return backend.infer(models[name], some[i : i + 1], timeout_s=TIMEOUT_S).scores

        turns = [(name, i) for i in range(24) for name in names]
        with ThreadPoolExecutor(24) as callers:
            for (name, i), found in zip(turns, callers.map(call, turns), strict=True):
                np.testing.assert_allclose(found[0], expected[name][i], atol=PARITY)

    def test_a_caller_in_a_hurry_is_told_so_in_time(self, backend: Backend, models: dict[str, Bundle]) -> None:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            backend.infer(models["slow"], photos(64), timeout_s=0.02)
        assert time.monotonic() - started < 2  # s; without the deadline it would never end
        assert backend.ready()

    def test_more_than_the_queue_takes_is_refused_as_overload_and_the_rest_is_answered(
        self, backend: Backend, models: dict[str, Bundle]
    ) -> None:
        together = threading.Barrier(80)

        def call(photo: NDArray[np.uint8]) -> str:
            together.wait()
            try:
                backend.infer(models["slow"], photo[None], timeout_s=TIMEOUT_S)
            except TagwrightError as err:
                return type(err).__name__
            return "answered"

        with ThreadPoolExecutor(80) as callers:
            outcomes = list(callers.map(call, photos(80)))
        assert set(outcomes) == {"answered", Overloaded.__name__}
        assert backend.ready()

    def test_pixels_of_another_size_or_type_are_a_mistake_of_ours(
        self, backend: Backend, models: dict[str, Bundle]
    ) -> None:
        wrongs: list[Any] = [photos(1, size=31), photos(1)[0], photos(1).astype(np.float32), photos(1)[:0]]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="takes uint8"):
                backend.infer(models["tagger"], wrong, timeout_s=TIMEOUT_S)


class TestTorchScriptInThisProcess(BackendContract):
    @pytest.fixture
    def backend(self, local: Backend) -> Backend:
        return local


@needs_triton
class TestTriton(BackendContract):
    @pytest.fixture
    def backend(self, triton: Backend) -> Backend:
        return triton


@needs_triton
@pytest.mark.parametrize("name", ["tagger", "plain-cnn", "slow"])
def test_both_engines_agree(local: Backend, triton: Backend, models: dict[str, Bundle], name: str) -> None:
    some = photos(5)
    here = local.infer(models[name], some, timeout_s=TIMEOUT_S)
    there = triton.infer(models[name], some, timeout_s=TIMEOUT_S)
    assert np.abs(here.scores - there.scores).max() <= PARITY
    assert np.abs(here.embedding - there.embedding).max() <= PARITY


def test_a_closed_engine_answers_no_more(tmp_path: Path) -> None:
    [bundle] = bundles.write_repository(tmp_path)
    backend = LocalBackend([bundle])
    backend.close()
    backend.close()
    with pytest.raises(ModelUnavailable):
        backend.infer(bundle, photos(1), timeout_s=TIMEOUT_S)

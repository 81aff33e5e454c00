"""Training in small: a run is repeatable, can be broken off and gone on with, and ends in a bundle that serves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import flickr
import numpy as np
import pytest
import torch
import typer

from tagwright_server.inference.backend import check_outputs
from tagwright_server.inference.bundle import canary_pixels, load_bundle
from tagwright_training import export, losses, train
from tagwright_training.calibration import fit_platt, fit_thresholds, wilson_lower
from tagwright_training.data import augment, upscale
from tagwright_training.dataset import Dataset, Part, Photo, load, save
from tagwright_training.model import EfficientNetLite, Network

PHOTOS = 40
ORDER: tuple[Part, ...] = ("train", "train", "train", "calibrate", "test")
RECIPE = train.Recipe(
    architecture="plain-cnn", photo_size=32, train_size=32, serve_size=32, epochs=2, batch_size=8, user_tags=2
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Forty photos in three parts; bright ones are `sky`."""
    root = tmp_path_factory.mktemp("data")
    photos = []
    for number in range(1, PHOTOS + 1):
        (root / f"im{number}.jpg").write_bytes(flickr.jpeg(number))
        part = ORDER[number % 5]
        labels = ("sky",) if number % 2 else ("dog",)
        tags = ("blue", "rex")[: number % 3]
        photos.append(Photo(number, None, f"im{number}.jpg", part, labels, labels[:1], tags, f"{number:016x}"))
    made = Dataset(root, 1, ("dog", "sky"), ("dog", "sky"), tuple(photos))
    save(made, root / "dataset.json")
    return load(root / "dataset.json")


def _run(data: Dataset, out: Path, recipe: train.Recipe = RECIPE) -> dict[str, Any]:
    train.Run(data, recipe, out, torch.device("cpu")).go()
    saved: dict[str, Any] = torch.load(out / "best.pt", weights_only=True)
    return saved


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(data: Dataset, tmp_path: Path) -> None:
    first, again = _run(data, tmp_path / "a" / "run"), _run(data, tmp_path / "b" / "run")
    other = _run(data, tmp_path / "c" / "run", dataclasses.replace(RECIPE, seed=2))
    assert all(torch.equal(first["network"][key], again["network"][key]) for key in first["network"])
    assert not torch.equal(first["network"]["head.weight"], other["network"]["head.weight"])


def test_a_run_that_was_broken_off_in_an_epoch_ends_like_an_unbroken_one(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = _run(data, tmp_path / "a" / "run")
    monkeypatch.setattr(train, "SAVE_EVERY_S", 0.0)  # after every step
    steps = 0

    def interrupted(*args: Any, **options: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 5:  # the second step of the second epoch
            raise KeyboardInterrupt
        return augment(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(train, "augment", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _run(data, tmp_path / "b" / "run")
    resumed = _run(data, tmp_path / "b" / "run")
    assert all(torch.equal(unbroken["network"][key], resumed["network"][key]) for key in unbroken["network"])
    assert [entry["epoch"] for entry in resumed["history"]] == [entry["epoch"] for entry in unbroken["history"]]


def test_a_folder_with_a_run_of_another_recipe_is_refused(data: Dataset, tmp_path: Path) -> None:
    _run(data, tmp_path / "run")
    with pytest.raises(typer.BadParameter, match="another recipe"):
        _run(data, tmp_path / "run", dataclasses.replace(RECIPE, seed=3))


def test_a_run_can_start_from_the_best_weights_of_another(data: Dataset, tmp_path: Path) -> None:
    first = _run(data, tmp_path / "a" / "run")
    going_on = dataclasses.replace(RECIPE, start_from=str(tmp_path / "a" / "run"), epochs=0)
    taken_over = _run(data, tmp_path / "b" / "run", going_on)
    assert all(torch.equal(first["network"][key], taken_over["network"][key]) for key in first["network"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"user_tags": 1}, "other targets"), ({"architecture": "efficientnet-lite0"}, "is a plain-cnn")],
)
def test_a_run_cannot_start_from_one_that_is_different(
    data: Dataset, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    _run(data, tmp_path / "a" / "run")
    with pytest.raises(typer.BadParameter, match=why):
        _run(
            data, tmp_path / "b" / "run", dataclasses.replace(RECIPE, start_from=str(tmp_path / "a" / "run"), **changes)
        )


@pytest.mark.parametrize("architecture", ["plain-cnn", "efficientnet-lite0"])
def test_an_exported_run_gives_in_torchscript_what_the_eager_network_gives(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    epochs = 1 if architecture == "plain-cnn" else 0
    recipe = dataclasses.replace(RECIPE, architecture=architecture, epochs=epochs, serve_size=64, train_size=64)
    saved = _run(data, tmp_path / "run", recipe)
    eager: list[export.Exported] = []
    write = export._write_torchscript

    def written(exported: export.Exported, path: Path, size: int) -> str:
        eager.append(exported)
        return write(exported, path, size)

    monkeypatch.setattr(export, "_write_torchscript", written)
    export.command(tmp_path / "run", data.root / "dataset.json", tmp_path / "repository" / "tiny", "1")
    bundle = load_bundle(tmp_path / "repository" / "tiny" / "1")  # checks digest and manifest

    photos = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8))
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        scripted = torch.jit.load(str(bundle.path / "model.pt"))
    network = Network(architecture, 4 + len(saved["user_tags"]), pretrained=False)
    network.load_state_dict(saved["network"])
    network.eval()
    with torch.inference_mode():
        scores, embedding = scripted(photos)
        eager_scores, eager_embedding = eager[0](photos)
        assert torch.allclose(scores, eager_scores, atol=1e-5)
        assert torch.allclose(embedding, eager_embedding, atol=1e-5)
        assert torch.allclose(scripted.strict_scores(photos), eager[0].strict_scores(photos), atol=1e-5)
        canary = scripted(torch.from_numpy(canary_pixels(32).copy()))[0][0]
        logits = network(upscale(photos, recipe.serve_size))[:, :2].double()
    check_outputs(bundle, 5, scores.numpy(), embedding.numpy())
    assert canary.tolist() == pytest.approx(bundle.canary_scores, abs=1e-5)
    # Platt's scaling is one rising line a label, through all photos
    served = torch.logit(scores.double())
    slope = (served[1] - served[0]) / (logits[1] - logits[0])
    assert (slope > -0.01).all()  # one that would fall is served flat, to the last digit of a float
    assert torch.allclose(scores.double(), (served[0] + slope * (logits - logits[0])).sigmoid(), atol=1e-3)

    seen = (bundle.path / "seen.txt").read_text().splitlines()
    assert len(seen) == sum(photo.split != "test" for photo in data.photos)
    assert json.loads((bundle.path / "manifest.json").read_text())["training"]["recipe"]["architecture"] == architecture


def test_other_data_than_the_run_learnt_from_is_refused_everywhere(data: Dataset, tmp_path: Path) -> None:
    _run(data, tmp_path / "run")
    other = dataclasses.replace(data, photos=data.photos[5:])
    save(other, tmp_path / "other.json")
    with pytest.raises(typer.BadParameter, match="other data"):
        _run(other, tmp_path / "run")
    with pytest.raises(typer.BadParameter, match="other data"):
        _run(other, tmp_path / "next" / "run", dataclasses.replace(RECIPE, start_from=str(tmp_path / "run")))
    with pytest.raises(typer.BadParameter, match="other data"):
        export.command(tmp_path / "run", tmp_path / "other.json", tmp_path / "repository" / "tiny", "1")


def test_folding_batch_norms_changes_nothing_but_the_number_of_operations() -> None:
    torch.manual_seed(0)
    backbone = EfficientNetLite("efficientnet-lite0").eval()
    pixels = torch.rand(2, 3, 64, 64) * 255
    with torch.inference_mode():
        before = backbone(pixels)
        backbone.fold_batch_norms()
        after = backbone(pixels)
    assert torch.allclose(before, after, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.modules())


def test_frozen_blocks_learn_nothing_and_the_others_do() -> None:
    backbone = EfficientNetLite("efficientnet-lite0", pretrained=False)
    backbone.freeze_blocks(2)
    backbone(torch.rand(2, 3, 64, 64) * 255).sum().backward()
    learns = [any(p.grad is not None for p in block.parameters()) for block in backbone.net._blocks]
    assert backbone.net._conv_stem.weight.grad is None
    assert learns == [False, False] + [True] * (len(learns) - 2)


def test_augmentation_is_decided_by_its_generator_and_stays_in_range() -> None:
    photos = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    first, again = (augment(photos, 48, torch.Generator().manual_seed(7)) for _ in range(2))
    other = augment(photos, 48, torch.Generator().manual_seed(8))
    assert first.shape == (4, 3, 48, 48)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 <= float(first.min()) <= float(first.max()) <= 255


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_is_smaller_for_the_right_answer(name: str) -> None:
    truth = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    right, wrong = (2 * truth - 1) * 3, (1 - 2 * truth) * 3
    loss = losses.LOSSES[name]
    assert 0 <= float(loss(right, truth)) < float(loss(torch.zeros(2, 3), truth)) < float(loss(wrong, truth))


def test_asymmetric_loss_without_focus_or_margin_is_binary_cross_entropy() -> None:
    logits, truth = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.eye(5)[:, :3]
    plain = losses.asymmetric(logits, truth, gamma_negative=0.0, margin=0.0)
    assert float(plain) == pytest.approx(float(losses.binary(logits, truth)), rel=1e-5)


def test_platt_scaling_finds_the_slope_and_offset_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 1)).astype(np.float32)
    truth = (rng.random((20_000, 1)) < 1 / (1 + np.exp(-(2.5 * logits - 1)))).astype(np.float32)
    slope, offset = fit_platt(logits, truth)
    assert slope[0] == pytest.approx(2.5, abs=0.15)
    assert offset[0] == pytest.approx(-1, abs=0.1)


def test_a_label_that_is_ranked_upside_down_keeps_a_rising_curve() -> None:
    logits = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
    slope, _ = fit_platt(logits, (logits < 0).astype(np.float32))
    assert slope[0] > 0


def test_thresholds_are_the_smallest_scores_that_surely_reach_the_precision() -> None:
    scores = np.arange(1000, dtype=np.float64)[::-1] / 1000  # best first
    truth = np.zeros(1000, np.float32)
    truth[:200] = 1  # the 200 best are right, the 200 next are wrong
    fitted = fit_thresholds(truth, scores)
    for target in ("0.6", "0.8", "0.9", "0.95"):
        chosen = scores >= fitted["thresholds"][target]
        surely = wilson_lower(truth[chosen].mean(keepdims=True).astype(np.float64), np.array([chosen.sum()]))
        one_more = scores >= fitted["thresholds"][target] - 0.001
        no_longer = wilson_lower(truth[one_more].mean(keepdims=True).astype(np.float64), np.array([one_more.sum()]))
        assert surely >= float(target) > no_longer
    assert fitted["default_threshold"] == pytest.approx(0.8, abs=1e-3)


def test_the_lower_end_of_wilsons_interval_is_what_the_book_says() -> None:
    found = wilson_lower(np.array([0.9]), np.array([100]), z=1.96)
    assert found[0] == pytest.approx(0.8256, abs=1e-4)  # Brown, Cai and DasGupta 2001, worked out for 90 of 100


def test_a_precision_that_is_never_reached_has_no_threshold() -> None:
    rng = np.random.default_rng(0)
    fitted = fit_thresholds((rng.random(500) < 0.1).astype(np.float32), rng.random(500))
    assert fitted["thresholds"]["0.9"] is None
    assert 0 <= fitted["default_threshold"] <= 1

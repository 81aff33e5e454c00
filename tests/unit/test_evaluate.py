"""`tagwright-train evaluate`: what it measures, on which photos, and what it writes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import bundles
import flickr
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from sklearn.metrics import average_precision_score
from typer.testing import CliRunner

from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference.bundle import Bundle, Label
from tagwright_training import __main__ as command_line
from tagwright_training import dataset as datasets
from tagwright_training import plots, report, seen
from tagwright_training.data import square
from tagwright_training.dataset import Dataset, Photo
from tagwright_training.evaluate import unseen
from tagwright_training.prepare import read_folder
from tagwright_training.report import Occasion
from tagwright_training.results import Measured, measure
from tagwright_training.scoring import Scored, score

IDS = tuple(range(1, 41))
LISTS = {
    "animals": IDS[::3],
    "dog": IDS[::4],
    "dog_r1": IDS[::8],
    "flower": IDS[1::5],
    "people": IDS[::2],
    "people_r1": IDS[::6],
    "sky": IDS[2::3],
}


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code of `tagwright-train evaluate ...` and everything it printed."""
    words = ["evaluate", *map(str, arguments)]
    result = CliRunner().invoke(command_line.build(words), words, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flickr.with_tables(tmp_path_factory.mktemp("data"), ids=IDS, lists=LISTS, tags={})


@pytest.fixture
def repository(tmp_path: Path, data: Path) -> Path:
    """Two models, which have seen the first ten photos and the first five."""
    photos = read_folder(data, all_test=True).photos
    for bundle, many in zip(bundles.write_repository(tmp_path / "models", ("small", "tagger")), (5, 10), strict=True):
        seen.write_seen(bundle.path / seen.FILE, photos[:many])
    return tmp_path / "models"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[Path, str]:
    """One whole evaluation of two models, which have seen five and ten photos: its folder, and what it printed."""
    home = tmp_path_factory.mktemp("evaluated")
    photos = read_folder(data, all_test=True).photos
    for bundle, many in zip(bundles.write_repository(home / "models", ("small", "tagger")), (5, 10), strict=True):
        seen.write_seen(bundle.path / seen.FILE, photos[:many])
    words = (data, "--model-repository", home / "models", "--out", home / "out", "--update-manifest")
    code, output = run(*words)
    assert code == 0, output
    return home, output


def a_bundle(*names: str, thresholds: Sequence[float] = (), targets: Sequence[float | None] = ()) -> Bundle:
    """A bundle that is never run: `results` only reads its labels."""
    limits, fitted = thresholds or [0.5] * len(names), targets or [0.5] * len(names)
    return Bundle(
        name="tagger", version="1", path=Path("nowhere"), preprocessing={}, size=32, embedding_size=8,
        max_batch_size=8, digest="0" * 64, metrics={}, architecture="tiny", canary_scores=(),
        created=datetime(2026, 1, 1, tzinfo=timezone.utc),
        labels=tuple(Label(n, t, {"0.8": f}, 0.5) for n, t, f in zip(names, limits, fitted, strict=True)),
    )  # fmt: skip


def a_photo(photo_id: int, labels: Sequence[str] = (), strict: Sequence[str] = ()) -> Photo:
    return Photo(photo_id, None, f"im{photo_id}.jpg", "test", tuple(labels), tuple(strict), (), f"{photo_id:016x}")


def some_figures(names: Sequence[str] = ("dog", "sky"), *, photos: int = 60, seed: int = 0) -> Measured:
    rng = np.random.default_rng(seed)
    holds = rng.random((photos, len(names))) < 0.3
    scores = np.clip(holds * 0.3 + rng.random(holds.shape) * 0.7, 0, 1).astype(np.float32)
    held = [[name for name, h in zip(names, row, strict=True) if h] for row in holds]
    annotated = [a_photo(i, labels, labels) for i, labels in enumerate(held, start=1)]
    scored = Scored(a_bundle(*names), scores, (), np.empty((photos, 0), np.float32))
    return measure(scored, annotated, strict_labels=names[:1])


# Which photos


def test_a_photo_is_known_by_its_bytes_under_any_name_and_by_its_annotations_in_any_size(tmp_path: Path) -> None:
    seen.write_seen(tmp_path / "seen.txt", [a_photo(1, ("dog", "sky")), a_photo(2)])
    known = seen.read_seen(tmp_path / "seen.txt")
    photo = a_photo(1, ("sky", "dog"))
    assert photo in known
    assert replace(photo, id=77) in known
    resized = replace(photo, digest="f" * 16)
    assert resized in known
    assert replace(resized, labels=("sky",)) not in known  # another folder's photo of the same number
    assert a_photo(3) not in known
    assert a_photo(3) in known | seen.Seen(contents=frozenset({a_photo(3).digest}))


def test_the_list_of_seen_photos_is_the_same_whatever_order_they_come_in(tmp_path: Path) -> None:
    photos = [a_photo(i) for i in range(1, 9)]
    seen.write_seen(tmp_path / "a", photos)
    seen.write_seen(tmp_path / "b", photos[::-1])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_text().splitlines()[0].startswith("0000000000000001 ")


@pytest.mark.parametrize("line", ["xyz 1", "0123456789abcdef", "0123456789abcdef one", ""])
def test_a_damaged_list_of_seen_photos_is_refused_with_file_and_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "seen.txt").write_text(f"0123456789abcdef fedcba9876543210\n{line}\n")
    with pytest.raises(ValueError, match=r"seen\.txt:2: not two digests"):
        seen.read_seen(tmp_path / "seen.txt")


def test_photos_that_any_of_the_models_has_seen_are_left_out(data: Path, repository: Path) -> None:
    dataset = read_folder(data, all_test=True)
    photos, unlisted = unseen(dataset, [bundles.load_bundle(repository / name / "1") for name in ("small", "tagger")])
    assert [photo.id for photo in photos] == list(range(11, 41))
    assert unlisted == ()


def test_a_model_that_does_not_say_what_it_has_seen_is_warned_about(
    data: Path, repository: Path, tmp_path: Path
) -> None:
    (repository / "tagger" / "1" / seen.FILE).unlink()
    code, output = run(data, "--model-repository", repository, "--out", tmp_path, "--no-plots")
    assert code == 0, output
    assert "warning: model 'tagger' has no seen.txt" in output
    assert "PERHAPS SEEN" in output
    written = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert written["data"]["models_without_a_list_of_seen_photos"] == ["tagger"]


def test_a_folder_of_which_every_photo_was_seen_is_refused(data: Path, repository: Path, tmp_path: Path) -> None:
    seen.write_seen(repository / "tagger" / "1" / seen.FILE, read_folder(data).photos)
    code, output = run(data, "--model-repository", repository, "--out", tmp_path / "out")
    assert code == 1
    assert "every photo has been seen by a model" in output
    assert not (tmp_path / "out").exists()


def test_a_damaged_list_of_seen_photos_stops_the_evaluation(data: Path, repository: Path, tmp_path: Path) -> None:
    (repository / "tagger" / "1" / seen.FILE).write_text("nothing\n")
    code, output = run(data, "--model-repository", repository, "--out", tmp_path / "out")
    assert code == 1
    assert "seen.txt:1: not two digests" in output
    assert not (tmp_path / "out").exists()


# What it measures


def test_scores_are_the_network_s_on_the_server_s_squares(data: Path, repository: Path) -> None:
    import torch

    dataset = read_folder(data, all_test=True)
    bundle = bundles.load_bundle(repository / "tagger" / "1")
    (found,) = score([bundle], dataset, dataset.photos)
    pixels = np.stack([square(datasets.read_bytes(dataset, p), Preprocessing(size=32)) for p in dataset.photos])
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        network = torch.jit.load(io.BytesIO(bundle.read_model()))
    with torch.inference_mode():
        expected, _ = network(torch.from_numpy(pixels))
    np.testing.assert_allclose(found.scores, expected.numpy(), atol=1e-6)
    assert found.strict_labels == ()


def test_the_command_writes_what_scikit_learn_says_of_the_same_scores(data: Path, evaluated: tuple[Path, str]) -> None:
    home, output = evaluated
    assert "10 of 40 photos left out: a model has seen them" in output
    written = json.loads((home / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert [written["data"][key] for key in ("photos", "left_out_as_seen", "evaluated")] == [40, 10, 30]
    dataset = read_folder(data, all_test=True)
    photos = dataset.photos[10:]
    truth, strict = datasets.targets(photos, bundles.LABELS), datasets.targets(photos, ["dog", "people"], strict=True)
    for model in written["models"]:
        (scored,) = score([bundles.load_bundle(home / "models" / model["name"] / "1")], dataset, photos)
        expected = [average_precision_score(truth[:, i], scored.scores[:, i]) for i in range(5)]
        assert [label["average_precision"]["value"] for label in model["labels"]] == pytest.approx(expected, abs=1e-5)
        assert model["mean_average_precision"]["value"] == pytest.approx(np.mean(expected), abs=1e-5)
        expected = [average_precision_score(strict[:, k], scored.scores[:, i]) for k, i in enumerate((1, 3))]
        assert [label["own_output"] for label in model["strict"]] == [False, False]
        assert model["strict_mean_average_precision"]["value"] == pytest.approx(np.mean(expected), abs=1e-5)


def test_the_command_draws_every_plot_and_prints_every_model(evaluated: tuple[Path, str]) -> None:
    home, output = evaluated
    for name in ("precision_recall", "average_precision", "reliability", "mistakes_small", "mistakes_tagger"):
        with Image.open(home / "out" / f"{name}.png") as picture:
            assert min(picture.size) > 400
    for text in ("small 1, by label", "tagger 1, by label", "mAP, 5 labels", "mAP, 2 labels, strict", "≥ .755"):
        assert text in output


def test_the_figures_go_into_the_manifest_when_asked(evaluated: tuple[Path, str]) -> None:
    written = json.loads((evaluated[0] / "out" / "evaluation.json").read_text(encoding="utf-8"))
    for model in written["models"]:
        found = bundles.load_bundle(evaluated[0] / "models" / model["name"] / "1").metrics
        assert found["map_5"] == pytest.approx(model["mean_average_precision"]["value"], abs=1e-4)
        assert found["photos"] == 30


def test_only_the_models_named_are_measured(data: Path, repository: Path, tmp_path: Path) -> None:
    code, output = run(data, "--model-repository", repository, "--model", "small", "--out", tmp_path, "--no-plots")
    assert code == 0, output
    assert "5 of 40 photos left out" in output
    assert "tagger" not in output
    assert [file.name for file in tmp_path.glob("*.*")] == ["evaluation.json"]


def test_user_tags_are_nothing_to_an_evaluation(data: Path, repository: Path, tmp_path: Path) -> None:
    root = flickr.with_tables(tmp_path / "data", ids=IDS, lists=LISTS)
    (root / "user_tags.tsv").write_text("99999\tno photo of ours\n", encoding="utf-8")
    code, output = run(root, "--model-repository", repository, "--out", tmp_path / "out", "--no-plots")
    assert code == 0, output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "nobody"), "no model nobody; there are small, tagger"),
        (("--model-repository", "nowhere"), "nowhere: no model repository there"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(
    data: Path, repository: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, output = run(data, "--model-repository", repository, *arguments)
    assert code == 1
    assert message in output


def test_a_label_that_the_data_does_not_annotate_is_refused_by_name(repository: Path, tmp_path: Path) -> None:
    lists = {name: ids for name, ids in LISTS.items() if name != "flower"}
    root = flickr.with_tables(tmp_path / "data", ids=IDS, lists=lists, tags={})
    code, output = run(root, "--model-repository", repository)
    assert code == 1
    assert "no annotations for labels of model 'small': flower" in output


def test_strict_labels_are_judged_by_their_own_output_where_there_is_one() -> None:
    photos = [a_photo(1, ["dog", "sky"], ["dog"]), a_photo(2, ["dog"], ["sky"]), a_photo(3), a_photo(4, ["sky"])]
    scores = np.array([[0.1, 0.2], [0.9, 0.9], [0.5, 0.3], [0.3, 0.1]], np.float32)
    own = np.array([[0.9], [0.1], [0.2], [0.3]], np.float32)
    found = measure(Scored(a_bundle("dog", "sky"), scores, ("dog",), own), photos, strict_labels=("dog", "sky"))
    assert [(s.name, s.own_output, s.average_precision.value) for s in found.figures.strict] == [
        ("dog", True, 1.0),  # by the plain output it would be 1/4
        ("sky", False, 1.0),
    ]


def test_decisions_follow_the_default_thresholds_and_targets_the_fitted_ones() -> None:
    photos = [a_photo(1, ["dog"]), a_photo(2, ["dog"]), a_photo(3, ["sky"]), a_photo(4)]
    scores = np.array([[0.9, 0.1], [0.4, 0.2], [0.6, 0.8], [0.1, 0.9]], np.float32)
    bundle = a_bundle("dog", "sky", thresholds=(0.5, 0.5), targets=(0.8, None))
    figures = measure(Scored(bundle, scores, (), np.empty((4, 0), np.float32)), photos).figures
    dog, sky = (label.decisions for label in figures.labels)
    assert (dog.said, dog.right, dog.holds) == (2, 1, 2)
    assert (sky.said, sky.right, sky.holds) == (2, 1, 1)
    assert (figures.micro.precision, figures.micro.recall) == (0.5, 2 / 3)
    (target,) = figures.targets
    assert (target.target, target.labels, target.reached) == ("0.8", 1, 1)
    assert (target.pooled.precision, target.pooled.recall) == (1.0, 1 / 3)


# What it shows


def test_a_figure_that_does_not_exist_is_null_in_json_and_a_dash_in_the_table() -> None:
    photos = [a_photo(1, ["dog"]), a_photo(2)]
    scores = np.array([[0.9, 0.1], [0.4, 0.2]], np.float32)
    found = measure(Scored(a_bundle("dog", "sky"), scores, (), np.empty((2, 0), np.float32)), photos)
    occasion = Occasion(Dataset(Path("data"), 1, ("dog", "sky"), (), tuple(photos)), 0, 2, ())
    written: Any = json.loads(json.dumps(report.document(occasion, [found]), allow_nan=False))
    assert written["models"][0]["labels"][1]["average_precision"] == {"value": None, "low": None, "high": None}
    assert report.metrics_of(found.figures, 2).keys() == {"map_2", "map_2_low", "map_2_high", "ece", "f1", "photos"}
    console = Console(width=100, record=True, file=io.StringIO())
    report.show(console, occasion, [found])
    assert "–" in next(line for line in console.export_text().splitlines() if line.startswith(" sky"))


def test_json_says_where_when_and_on_what_it_was_measured() -> None:
    occasion = Occasion(Dataset(Path("somewhere/data"), 1, (), (), ()), 3, 0, ())
    written = report.document(occasion, [some_figures()])
    assert written["machine"].keys() >= {"processor", "cores", "torch", "python", "system"}
    assert (written["data"]["name"], written["data"]["left_out_as_seen"]) == ("data", 3)
    assert "somewhere" not in json.dumps(written["data"])
    assert written["models"][0]["micro"].keys() >= {"precision", "recall", "f1", "said", "holds", "right"}


def test_the_most_confident_mistakes_come_first_with_two_of_a_label_and_one_of_a_photo() -> None:
    photos = [a_photo(i, ["sky"] if i == 1 else []) for i in range(1, 6)]
    scores = np.array([[0.95, 0.9], [0.8, 0.85], [0.7, 0.1], [0.6, 0.2], [0.3, 0.05]], np.float32)
    found = measure(Scored(a_bundle("dog", "sky"), scores, (), np.empty((5, 0), np.float32)), photos)
    wrong = plots.mistakes(found, holding=False, most=4)
    assert [(m.row, m.column) for m in wrong] == [(0, 0), (1, 1), (2, 0), (3, 1)]
    assert [(m.row, m.column) for m in plots.mistakes(found, holding=True, most=4)] == [(0, 1)]


def test_a_contact_sheet_without_a_mistake_is_still_a_picture(tmp_path: Path) -> None:
    photos = [a_photo(i, ["dog"]) for i in (1, 2)]
    found = measure(Scored(a_bundle("dog"), np.ones((2, 1), np.float32), (), np.empty((2, 0), np.float32)), photos)
    plots.contact_sheet(found, lambda row: np.zeros((4, 4, 3), np.uint8)).savefig(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_models_with_different_labels_share_the_plots_of_the_first() -> None:
    pair = [some_figures(("dog", "sky")), some_figures(("sky", "tree"), seed=1)]
    curves = plots.precision_recall_curves(pair)
    assert [len(axes.get_lines()) for axes in curves.axes] == [2, 3]  # chance and one model, chance and both
    assert isinstance(plots.average_precision_bars(pair), Figure)


def test_a_label_that_no_photo_holds_leaves_a_gap_in_the_plots(tmp_path: Path) -> None:
    scores = np.array([[0.9, 0.1], [0.4, 0.2]], np.float32)
    scored = Scored(a_bundle("dog", "sky"), scores, (), np.empty((2, 0), np.float32))
    found = measure(scored, [a_photo(1, ["dog"]), a_photo(2)], strict_labels=("sky",))
    names = plots.draw(tmp_path, [found], lambda row: np.zeros((4, 4, 3), np.uint8))
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)

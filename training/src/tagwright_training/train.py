"""Training: first a linear head on frozen features, then every layer, gently.

Starting the fine-tuning from a fitted head keeps the first steps from tearing up the ImageNet features ("linear
probing, then fine-tuning", Kumar et al. 2022). The photos' user tags are a second, weaker set of targets; their head
is left out of the export. Work is saved every two minutes; the same command again goes on where it stopped, and gives
what an unbroken run would have given: all randomness hangs on (seed, epoch, step).
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tagwright_server.images.preprocess import Preprocessing
from tagwright_training import dataset as datasets
from tagwright_training.data import augment, batches, pixels, to_tensor
from tagwright_training.losses import LOSSES
from tagwright_training.metrics import average_precisions
from tagwright_training.model import ARCHITECTURES, PLAIN_CNN, EfficientNetLite, Network

SAVE_EVERY_S = 120.0
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a run's result, kept in its checkpoint."""

    architecture: str = "efficientnet-lite0"
    start_from: str = ""  # folder of a run whose best weights this one goes on from; empty: ImageNet's
    photo_size: int = 128  # side of the stored square
    train_size: int = 160  # side the network trains at
    serve_size: int = 192  # side the network serves at; larger, since crops make things look larger in training
    loss: str = "bce"
    epochs: int = 6  # 0: only the linear head on frozen features
    batch_size: int = 32
    backbone_rate: float = 1.5e-4  # AdamW's peak; 4e-4 first unlearns
    head_rate: float = 6e-4
    weight_decay: float = 0.02
    average_decay: float = 0.998  # of the weights' moving average, which is what is kept
    frozen_blocks: int = 3  # of 16: edges and colours are the same everywhere, and cost most of the time
    user_tags: int = 400  # the most frequent ones become auxiliary targets
    user_tag_weight: float = 2.0
    patience: int = 3  # epochs without gain before stopping
    seed: int = 1


DEFAULT = Recipe()


@dataclass(slots=True)
class Targets:
    """What the head learns: public labels, strict labels, user tags, side by side."""

    public: tuple[str, ...]
    strict: tuple[str, ...]
    user_tags: tuple[str, ...]

    @property
    def labels(self) -> int:
        """How many outputs are expert labels; the others are user tags."""
        return len(self.public) + len(self.strict)

    def matrix(self, photos: list[datasets.Photo]) -> NDArray[np.float32]:
        """0/1 targets `[photos, outputs]`."""
        column = {tag: i for i, tag in enumerate(self.user_tags)}
        tags = np.zeros((len(photos), len(column)), np.float32)
        for row, photo in enumerate(photos):
            tags[row, [column[t] for t in photo.user_tags if t in column]] = 1
        plain = datasets.targets(photos, self.public, strict=False)
        return np.hstack([plain, datasets.targets(photos, self.strict, strict=True), tags])


def command(
    dataset: Annotated[Path, typer.Argument(help="the manifest that `prepare` wrote")],
    out: Annotated[Path, typer.Option(help="folder of the run: checkpoint, history, cached photos")] = Path(
        "runs/tagger"
    ),
    architecture: Annotated[str, typer.Option(help=" | ".join(ARCHITECTURES))] = DEFAULT.architecture,
    start_from: Annotated[str, typer.Option(help="folder of a run to go on from with this recipe")] = "",
    loss: Annotated[str, typer.Option(help=" | ".join(LOSSES))] = DEFAULT.loss,
    epochs: Annotated[int, typer.Option(min=0, help="0 fits only a linear head on frozen features")] = DEFAULT.epochs,
    train_size: Annotated[
        int, typer.Option(min=32, help="side of the square in training, pixels")
    ] = DEFAULT.train_size,
    serve_size: Annotated[int, typer.Option(min=32, help="side of the square in serving, pixels")] = DEFAULT.serve_size,
    rate: Annotated[float, typer.Option(help="AdamW's peak learning rate of the backbone")] = DEFAULT.backbone_rate,
    frozen_blocks: Annotated[
        int, typer.Option(min=0, help="EfficientNet blocks that learn nothing")
    ] = DEFAULT.frozen_blocks,
    user_tag_weight: Annotated[
        float, typer.Option(min=0, help="weight of the user tags; 0: leave them out")
    ] = DEFAULT.user_tag_weight,
    seed: Annotated[int, typer.Option(help="same seed, same result")] = DEFAULT.seed,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda")] = "auto",
) -> None:
    """Train a network, or go on with the run in OUT where it stopped."""
    if architecture not in ARCHITECTURES or loss not in LOSSES:
        raise typer.BadParameter(f"--architecture is one of {ARCHITECTURES}, --loss one of {tuple(LOSSES)}")
    if architecture == PLAIN_CNN and epochs == 0:
        raise typer.BadParameter("the plain CNN has no pretrained features: --epochs must be at least 1")
    recipe = Recipe(
        architecture=architecture, start_from=start_from, loss=loss, epochs=epochs,
        train_size=train_size, serve_size=serve_size, backbone_rate=rate, head_rate=rate * 4,
        frozen_blocks=frozen_blocks, user_tags=DEFAULT.user_tags if user_tag_weight else 0,
        user_tag_weight=user_tag_weight, seed=seed,
    )  # fmt: skip
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    Run(datasets.load(dataset), recipe, out, torch.device(device)).go()


class Run:
    """One training run and its folder."""

    def __init__(self, dataset: datasets.Dataset, recipe: Recipe, out: Path, device: torch.device) -> None:
        self.recipe, self.out, self.device, self.data = recipe, out, device, dataset.digest()
        self.train_photos, self.check_photos = dataset.split("train"), dataset.split("calibrate")
        if len(self.train_photos) < recipe.batch_size or not self.check_photos:
            raise typer.BadParameter(
                f"too few photos: {len(self.train_photos)} to train, {len(self.check_photos)} to calibrate"
            )
        self.targets = Targets(
            dataset.labels, dataset.strict_labels, _frequent_tags(self.train_photos, recipe.user_tags)
        )
        preprocessing = Preprocessing(size=recipe.photo_size)
        self.train_pixels = pixels(dataset, self.train_photos, preprocessing, out.parent / "cache")
        self.check_pixels = pixels(dataset, self.check_photos, preprocessing, out.parent / "cache")
        self.train_truth = torch.from_numpy(self.targets.matrix(self.train_photos))
        self.check_truth = self.targets.matrix(self.check_photos)
        torch.manual_seed(recipe.seed)
        torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
        network = Network(recipe.architecture, self.train_truth.shape[1])
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self.history: list[dict[str, Any]] = []
        self.best = -1.0

    def go(self) -> None:
        """Train to the end, the best epoch's weights in `OUT/best.pt`."""
        self.out.mkdir(parents=True, exist_ok=True)
        checkpoint = self.out / "checkpoint.pt"
        saved = torch.load(checkpoint, weights_only=True, map_location=self.device) if checkpoint.exists() else None
        if saved is not None and saved["recipe"] != dataclasses.asdict(self.recipe):
            raise typer.BadParameter(f"{self.out} holds a run with another recipe; choose another --out or delete it")
        if saved is not None:
            check_data(saved, dataset_digest=self.data, file=checkpoint)
        backbone = self.network.backbone
        if saved is None and self.recipe.start_from:
            self._take_over(Path(self.recipe.start_from) / "best.pt")
            self._judge(self.network, epoch=0)
        elif saved is None and isinstance(backbone, EfficientNetLite):
            self._fit_head()
            self._judge(self.network, epoch=0)
        if isinstance(backbone, EfficientNetLite):
            backbone.freeze_blocks(self.recipe.frozen_blocks)
        if self.recipe.epochs:
            self._fine_tune(saved, checkpoint)
        console.print(f"best: mAP {self.best:.4f} on the calibration part, kept in {self.out / 'best.pt'}")

    def _take_over(self, best: Path) -> None:
        """Begin with the best weights of another run over the same targets."""
        other = torch.load(best, weights_only=True, map_location=self.device)
        check_data(other, dataset_digest=self.data, file=best)
        theirs = (*other["labels"], *other["strict_labels"], *other["user_tags"])
        if theirs != (*self.targets.public, *self.targets.strict, *self.targets.user_tags):
            raise typer.BadParameter(f"{best} learnt other targets")
        if other["recipe"]["architecture"] != self.recipe.architecture:
            raise typer.BadParameter(f"{best} is a {other['recipe']['architecture']}")
        self.network.load_state_dict(other["network"])

    def _fit_head(self) -> None:
        """A linear fit on standardised features of the untouched backbone, as the head's first weights."""
        self.network.eval()
        features = self._features(self.train_pixels)
        mean, deviation = features.mean(0), features.std(0) + 1e-3
        x = (features - mean) / deviation
        weight = torch.zeros(self.train_truth.shape[1], x.shape[1], requires_grad=True)
        bias = torch.zeros(self.train_truth.shape[1], requires_grad=True)
        rates = self.train_truth.mean(0).clamp(1e-4, 1 - 1e-4)
        with torch.no_grad():
            bias.copy_((rates / (1 - rates)).log())
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")
        labels = self.targets.labels
        tags_weight = len(self.targets.user_tags) / labels  # the losses are means; every output shall count alike

        def objective() -> float:
            optimizer.zero_grad()
            logits = x @ weight.T + bias
            value = self._label_loss(logits, self.train_truth) + 0.1 / labels * weight.square().sum()
            if tags_weight:
                value = value + tags_weight * LOSSES["bce"](logits[:, labels:], self.train_truth[:, labels:])
            value.backward()
            return value.item()

        console.print("fitting the linear head")
        optimizer.step(objective)
        with torch.no_grad():
            scaled = weight / deviation
            self.network.head.weight.copy_(scaled)
            self.network.head.bias.copy_(bias - scaled @ mean)

    def _fine_tune(self, saved: dict[str, Any] | None, checkpoint: Path) -> None:
        recipe, network = self.recipe, self.network
        # the head's features are of small scale, so its rate is higher
        groups = [
            {"params": [p for p in network.backbone.parameters() if p.requires_grad], "peak": recipe.backbone_rate},
            {"params": list(network.head.parameters()), "peak": recipe.head_rate},
        ]
        optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=recipe.weight_decay)
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average_decay), use_buffers=True)
        epoch, step = 0, 0
        if saved is not None:
            network.load_state_dict(saved["network"])
            average.load_state_dict(saved["average"])
            optimizer.load_state_dict(saved["optimizer"])
            epoch, step = saved["epoch"], saved["step"]
            self.best, self.history = saved["best"], saved["history"]
            console.print(f"going on at epoch {epoch + 1}, step {step}")

        def save(epoch: int, step: int) -> None:
            state = {
                "recipe": dataclasses.asdict(recipe), "data": self.data, "epoch": epoch, "step": step,
                "best": self.best, "history": self.history,
                "network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
            }  # fmt: skip
            _save(state, checkpoint)

        while epoch < recipe.epochs and not self._tired():
            self._epoch(average, optimizer, epoch, step, save)
            self._judge(average.module, epoch=epoch + 1)
            epoch, step = epoch + 1, 0
            save(epoch, step)

    def _epoch(
        self, average: AveragedModel, optimizer: torch.optim.Optimizer, epoch: int, first: int, save: Any
    ) -> None:
        recipe, network = self.recipe, self.network
        steps, labels = len(self.train_photos) // recipe.batch_size, self.targets.labels
        network.train()
        order = batches(len(self.train_photos), recipe.batch_size, _rng(recipe.seed, epoch))
        saved_at, shown = time.monotonic(), math.nan
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"epoch {epoch + 1}/{recipe.epochs}", total=steps, completed=first)
            for step, rows in enumerate(order):
                if step < first:
                    continue
                rate = _rate((epoch * steps + step) / (recipe.epochs * steps))
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * rate
                x = augment(self.train_pixels[rows], recipe.train_size, _rng(recipe.seed, epoch, step)).to(self.device)
                truth = self.train_truth[rows].to(self.device)
                torch.manual_seed(_rng(recipe.seed, epoch, step, 1).initial_seed())  # dropout, drop-connect
                logits = network(x)
                loss = self._label_loss(logits, truth)
                if logits.shape[1] > labels:
                    loss = loss + recipe.user_tag_weight * LOSSES["bce"](logits[:, labels:], truth[:, labels:])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
                average.update_parameters(network)
                shown = loss.item() if math.isnan(shown) else 0.98 * shown + 0.02 * loss.item()
                progress.update(
                    task, completed=step + 1, description=f"epoch {epoch + 1}/{recipe.epochs}  loss {shown:.3f}"
                )
                if time.monotonic() - saved_at > SAVE_EVERY_S:
                    save(epoch, step + 1)
                    saved_at = time.monotonic()

    def _label_loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """The recipe's loss of the public and of the strict labels: `cce` lets labels of one kind compete only."""
        loss_of, public, labels = LOSSES[self.recipe.loss], len(self.targets.public), self.targets.labels
        loss = loss_of(logits[:, :public], truth[:, :public]) * (public / labels)
        if labels > public:
            loss = loss + loss_of(logits[:, public:labels], truth[:, public:labels]) * (1 - public / labels)
        return loss

    def _judge(self, network: nn.Module, *, epoch: int) -> None:
        """mAP on the calibration part; keeps the weights if they are the best so far."""
        network.eval()
        logits = self._apply(network, self.check_pixels)[:, : self.targets.labels].numpy()
        precisions = average_precisions(self.check_truth[:, : self.targets.labels], logits)
        public = len(self.targets.public)
        entry = {
            "epoch": epoch,
            "map": float(np.mean(precisions[:public])),
            "strict_map": float(np.mean(precisions[public:])),
        }
        self.history.append(entry)
        (self.out / "history.json").write_text(json.dumps(self.history, indent=1))
        console.print(f"epoch {epoch}: mAP {entry['map']:.4f}, strict {entry['strict_map']:.4f}")
        if entry["map"] > self.best:
            self.best = entry["map"]
            state = {
                "recipe": dataclasses.asdict(self.recipe), "data": self.data,
                "network": network.state_dict(), "history": self.history,
                "labels": self.targets.public, "strict_labels": self.targets.strict,
                "user_tags": self.targets.user_tags,
            }  # fmt: skip
            _save(state, self.out / "best.pt")

    def _tired(self) -> bool:
        best_at = max(range(len(self.history)), key=lambda i: self.history[i]["map"], default=0)
        return len(self.history) - 1 - best_at >= self.recipe.patience

    def _features(self, photos: NDArray[np.uint8]) -> Tensor:
        return self._apply(self.network.backbone, photos)

    @torch.inference_mode()
    def _apply(self, network: nn.Module, photos: NDArray[np.uint8]) -> Tensor:
        outputs = [
            network(to_tensor(photos[i : i + 8], self.recipe.serve_size).to(self.device)).cpu()
            for i in range(0, len(photos), 8)  # 8: larger batches are slower on a CPU
        ]
        return torch.cat(outputs).clone()


def check_data(saved: dict[str, Any], *, dataset_digest: str, file: Path) -> None:
    """Refuse weights that learnt from other photos, labels or parts: they may have seen what others must not."""
    if saved["data"] != dataset_digest:
        raise typer.BadParameter(f"{file} learnt from other data, {saved['data'][:12]}, not {dataset_digest[:12]}")


def _frequent_tags(photos: list[datasets.Photo], count: int) -> tuple[str, ...]:
    counts = Counter(tag for photo in photos for tag in set(photo.user_tags))
    return tuple(sorted(counts, key=lambda tag: (-counts[tag], tag))[:count])


def _rng(*key: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


def _rate(progress: float, warm_up: float = 0.1) -> float:
    """Share of the peak rate: linear up, then half a cosine down (one cycle, Smith 2018)."""
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def _save(state: dict[str, Any], path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)

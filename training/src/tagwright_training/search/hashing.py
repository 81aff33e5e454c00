"""Codes learnt from looks and user tags: WDHT, and the start that makes its codes find nearest neighbours as well.

WDHT (Gattupalli, Zhuo and Li, CVPR 2019) on embeddings that stay as they are: a hidden layer, a head of b numbers h1 in
0 to 1 whose halves are the bits, a head h2 that predicts the vector w of the photo's tags (`words.tag_vectors`).

    L1 = mean over i, j of ((1/b) |h1_i - h1_j|^2 - 1/2 (1 - cos(w_i, w_j)))^2    alike in tags, alike in code
    L2 = mean over n, j of max(0, margin + w_j . h2_n - w_n . h2_n)                 the hidden layer knows of tags
    L3 = - mean of (h1 - 1/2)^2                                                     numbers go to 0 or 1

The weights of the authors' script are 1, 10 and 1; at that weight L3 wins over L1 here, and .1 is better. Ours, not the
paper's: no hidden layer, so that L2 has nothing to teach and is left out, and a start from ITQ rather than at random.
Codes then keep what ITQ knows of neighbours, while L1 and L3 bring in the tags. Never: sees an annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tagwright_server.search.codes import Encoder, Layer
from tagwright_training.search.projections import rotated

Array = NDArray[np.float32]
Start = Literal["random", "itq"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; the defaults are WDHT with its authors' weights, and Adam."""

    bits: int
    hidden: int = 256
    """Numbers between; 0: the heads look at the embedding itself."""
    start: Start = "random"
    tags: float = 1.0
    """Weight of L1."""
    words: float = 10.0
    """Weight of L2."""
    edges: float = 1.0
    """Weight of L3."""
    margin: float = 0.2
    rate: float = 1e-3
    batch: int = 256
    epochs: int = 20
    seed: int = 1


def wdht(bits: int, *, edges: float = 0.1, seed: int = 1) -> Recipe:
    """WDHT; `edges` 1 is the authors' weight."""
    return Recipe(bits, edges=edges, seed=seed)


def served(bits: int, *, seed: int = 1) -> Recipe:
    """Return the recipe of the codes that are served: L1 and L3 from ITQ on, without a hidden layer."""
    return Recipe(bits, hidden=0, start="itq", words=0.0, edges=0.1, seed=seed)


class Network(nn.Module):
    """The hidden layer, if any, and the two heads."""

    def __init__(self, vectors: Tensor, words: int, recipe: Recipe) -> None:
        super().__init__()
        self.mean, self.scale = vectors.mean(dim=0), float(vectors.std(dim=0).square().mean().sqrt())
        size = vectors.shape[1]
        self.hidden = nn.Sequential(nn.Linear(size, recipe.hidden), nn.ReLU()) if recipe.hidden else nn.Sequential()
        inner = recipe.hidden or size
        self.hash = nn.Linear(inner, recipe.bits)
        self.words = nn.Linear(inner, words)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return h1 in 0 to 1, [n, bits], and the predicted tag vectors in -1 to 1, [n, words]."""
        inner = self.hidden(self.spread(vectors))
        return torch.sigmoid(self.hash(inner)), torch.tanh(self.words(inner))

    def spread(self, vectors: Tensor) -> Tensor:
        """Return embeddings around 0 and of deviation 1, as layers begin best: of length 1 their numbers are tiny."""
        found: Tensor = (vectors - self.mean) / self.scale
        return found


def train(vectors: Array, tags: Array, recipe: Recipe) -> Encoder:
    """Return the encoder of a recipe for `vectors`, float32 [n, D] of length 1, with `tags` float32 [n, W].

    `tags` are of length 1, or zero where a photo has no tag that is a word; such photos only have a part in L3.
    """
    torch.manual_seed(recipe.seed)
    x, w = torch.from_numpy(vectors), torch.from_numpy(tags)
    network = Network(x, tags.shape[1], recipe)
    if recipe.start == "itq":
        _start_from(network, rotated(vectors, recipe.bits, seed=recipe.seed), vectors)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.rate)
    order = torch.Generator().manual_seed(recipe.seed)
    steps = recipe.epochs * max(1, len(x) // recipe.batch)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(x), generator=order).split(recipe.batch):
            if len(rows) < min(recipe.batch, len(x)):
                continue
            optimizer.zero_grad()
            loss(network, x[rows], w[rows], recipe).backward()
            optimizer.step()
            falling.step()
    return encoder_of(network)


def loss(network: Network, x: Tensor, w: Tensor, recipe: Recipe) -> Tensor:
    """Return the weighted sum of the losses of a batch: `x` [n, D], `w` [n, W]."""
    h1, h2 = network(x)
    tagged = w.abs().sum(dim=1) > 0
    total: Tensor = -recipe.edges * (h1 - 0.5).square().mean()
    if recipe.tags:
        total = total + recipe.tags * pairwise(h1[tagged], w[tagged])
    if recipe.words:
        total = total + recipe.words * hinge(h2[tagged], w[tagged], recipe.margin)
    return total


def pairwise(h: Tensor, targets: Tensor) -> Tensor:
    """L1: share of bits in which pairs differ beside half of 1 - cosine; `targets` [n, W] of length 1."""
    norms = h.square().sum(dim=1)
    apart = (norms[:, None] + norms[None, :] - 2 * h @ h.T) / h.shape[1]
    found: Tensor = (apart - 0.5 * (1 - targets @ targets.T)).square().mean()
    return found


def hinge(predicted: Tensor, targets: Tensor, margin: float) -> Tensor:
    """L2: each prediction is nearer to its own photo's tags than to any other's of the batch, by `margin`."""
    scores = predicted @ targets.T
    costs = torch.relu(margin + scores - scores.diagonal()[:, None])
    costs = costs - torch.diag(costs.diagonal())
    found: Tensor = costs.sum() / max(1, len(costs) * (len(costs) - 1))
    return found


def encoder_of(network: Network) -> Encoder:
    """Return the way to the bits; the head for tags is only there to learn by."""
    steps = [each for each in network.hidden if isinstance(each, nn.Linear)] + [network.hash]
    layers = [Layer(step.weight.detach().numpy().T.copy(), step.bias.detach().numpy().copy()) for step in steps]
    first = layers[0].weights / np.float32(network.scale)
    layers[0] = Layer(first, layers[0].offsets - network.mean.numpy() @ first)
    return Encoder(tuple(layers))


def _start_from(network: Network, encoder: Encoder, vectors: Array) -> None:
    """Let the head begin as ITQ, scaled so that sigmoids are neither flat nor saturated."""
    if len(network.hidden):
        raise ValueError("ITQ is one linear step: no hidden layer can start from it")
    scale = 2.0 / float(encoder.outputs(vectors).std())
    layer = encoder.layers[0]
    weights, offsets = (torch.from_numpy(each * np.float32(scale)) for each in (layer.weights, layer.offsets))
    with torch.no_grad():
        network.hash.weight.copy_(weights.T * network.scale)
        network.hash.bias.copy_(offsets + network.mean @ weights)

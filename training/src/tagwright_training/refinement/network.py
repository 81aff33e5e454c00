"""The deep transformation of features that WDMF and WDNL share: two rectified layers beside a linear map.

Promises: photos' features that the sparse first layer drops (their rows are 0) count nowhere; the same seed gives the
same network. Targets are asked for by rows, so that they need never be whole in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tagwright_server.refinement.batch import Network
from tagwright_training.refinement.folding import ridge
from tagwright_training.refinement.lowrank import row_shrink

Array = NDArray[np.float32]
PARTS = ("first", "first_bias", "second", "second_bias", "last", "linear", "bias")


@dataclass(frozen=True, slots=True)
class Learning:
    """How a network step learns."""

    hidden: tuple[int, int] = (256, 256)
    epochs: int = 1
    rate: float = 3e-4
    batch: int = 256
    decay: float = 1e-2
    """AdamW's weight decay, of every layer but the first and the linear map."""
    sparse: float = 1e-3
    """Weight of ||W_1||_{2,1}, whose rows are those of the first layer and the linear map side by side."""
    ridge: float = 100.0
    """Penalty of the linear map that everything starts from."""
    seed: int = field(default=1)


def begin(vectors: Array, targets: Callable[[int, int], Array], learning: Learning) -> Network:
    """The ridge regression of the targets, and rectified layers that add nothing to it yet."""
    rng = np.random.default_rng(learning.seed)
    one, two = learning.hidden
    size = vectors.shape[1]
    linear, bias = ridge(vectors, targets, learning.ridge)
    return Network(
        first=rng.normal(0, 2**0.5, (size, one)).astype(np.float32),  # vectors have length 1: each unit sees variance 2
        first_bias=np.zeros(one, np.float32),
        second=rng.normal(0, (2 / one) ** 0.5, (one, two)).astype(np.float32),
        second_bias=np.zeros(two, np.float32),
        last=np.zeros((two, linear.shape[1]), np.float32),
        linear=linear,
        bias=bias,
    )


def improve(network: Network, vectors: Array, targets: Callable[[NDArray[np.int64]], Array], learning: Learning,
            *, epoch: int = 0) -> Network:  # fmt: skip
    """`epochs` of AdamW on 1/2 ||F - f(X)||^2 a photo, each step followed by the row shrink of the first layer."""
    parts = {name: torch.from_numpy(getattr(network, name).copy()).requires_grad_() for name in PARTS}
    free = [parts[name] for name in ("first", "first_bias", "linear", "bias", "second_bias")]
    groups: list[dict[str, Any]] = [{"params": free, "weight_decay": 0.0}, {"params": [parts["second"], parts["last"]]}]
    optimiser = torch.optim.AdamW(groups, lr=learning.rate, weight_decay=learning.decay)
    rng = np.random.default_rng((learning.seed, epoch))
    for _ in range(learning.epochs):
        order = rng.permutation(len(vectors))
        for start in range(0, len(order), learning.batch):
            rows = np.sort(order[start : start + learning.batch])
            x, wanted = torch.from_numpy(vectors[rows]), torch.from_numpy(np.ascontiguousarray(targets(rows)))
            hidden = (x @ parts["first"] + parts["first_bias"]).relu()
            hidden = (hidden @ parts["second"] + parts["second_bias"]).relu()
            guess = hidden @ parts["last"] + x @ parts["linear"] + parts["bias"]
            optimiser.zero_grad()
            (0.5 * ((guess - wanted) ** 2).sum(1).mean()).backward()
            optimiser.step()
            with torch.no_grad():
                side_by_side = np.hstack([parts["first"].numpy(), parts["linear"].numpy()])
                kept = row_shrink(side_by_side, learning.sparse * learning.rate)
                parts["first"].copy_(torch.from_numpy(kept[:, : learning.hidden[0]]))
                parts["linear"].copy_(torch.from_numpy(kept[:, learning.hidden[0] :]))
    return Network(**{name: part.detach().numpy() for name, part in parts.items()})


def arrays_of(network: Network) -> dict[str, Array]:
    """For a bundle or a checkpoint."""
    return {name: getattr(network, name) for name in PARTS}

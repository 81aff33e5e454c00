"""Losses over logits and 0/1 targets `[N, labels]`."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as nnf
from torch import Tensor


def binary(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, one sigmoid a label; the mean over photos and labels times ten, for a readable size."""
    return 10 * nnf.binary_cross_entropy_with_logits(logits, targets)


def asymmetric(logits: Tensor, targets: Tensor, *, gamma_negative: float = 2.0, margin: float = 0.05) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021, eq. 7) with gamma+ = 0: easy negatives count less."""
    positive = logits.sigmoid()
    negative = (1 - positive + margin).clamp(max=1)
    loss = targets * positive.clamp(min=1e-8).log()
    loss = loss + (1 - targets) * (1 - negative) ** gamma_negative * negative.clamp(min=1e-8).log()
    return -10 * loss.mean()


def categorical(logits: Tensor, targets: Tensor) -> Tensor:
    """Categorical cross-entropy against the photo's labels in equal shares, as the reference design has it.

    A photo without any label tells nothing under a softmax and is left out.
    """
    counts = targets.sum(1, keepdim=True)
    shares = targets / counts.clamp(min=1)
    per_photo = -(shares * logits.log_softmax(1)).sum(1)
    return per_photo.sum() / (counts > 0).sum().clamp(min=1)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"bce": binary, "asl": asymmetric, "cce": categorical}

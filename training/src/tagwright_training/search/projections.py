"""Codes that no tag and no label had a part in: signs of projections, and the rotation that costs least.

`random_hyperplanes` (Charikar, STOC 2002), `principal_signs`, and `rotated` (ITQ: Gong and Lazebnik, CVPR 2011).
All are one linear step, as the server's encoders are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.search.codes import Encoder, Layer

ROTATIONS = 50  # of ITQ, as in the paper

Array = NDArray[np.float32]


def random_hyperplanes(vectors: Array, bits: int, *, centred: bool = False, seed: int = 1) -> Encoder:
    """Signs of projections on random directions, of float32 [n, D]; `centred`: of what differs from their mean."""
    directions = np.random.default_rng(seed).standard_normal((vectors.shape[1], bits))
    return _around(vectors.mean(axis=0) if centred else np.zeros(vectors.shape[1]), directions)


def principal_signs(vectors: Array, bits: int) -> Encoder:
    """Signs of the principal components with the greatest variance."""
    return _around(vectors.mean(axis=0), _components(vectors, bits))


def rotated(vectors: Array, bits: int, *, seed: int = 1) -> Encoder:
    """ITQ: the principal components, rotated so that signs lose as little as may be.

    Min over R of ||B - V R||^2, by turns: B = sign(V R), then R from the singular vectors of B'V.
    """
    components = _components(vectors, bits)
    projected = (vectors - vectors.mean(axis=0)) @ components
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((bits, bits)))[0]
    for _ in range(ROTATIONS):
        left, _, right = np.linalg.svd(np.sign(projected @ rotation).T @ projected)
        rotation = (left @ right).T
    return _around(vectors.mean(axis=0), components @ rotation)


def _components(vectors: Array, count: int) -> NDArray[np.float64]:
    if count > vectors.shape[1]:
        raise ValueError(f"{count} components of {vectors.shape[1]} numbers")
    _, directions = np.linalg.eigh(np.cov(vectors, rowvar=False))
    found: NDArray[np.float64] = directions[:, ::-1][:, :count]
    return found


def _around(mean: NDArray[Any], directions: NDArray[np.float64]) -> Encoder:
    weights = np.asarray(directions, np.float32)
    return Encoder((Layer(weights, np.asarray(-(mean @ weights), np.float32)),))

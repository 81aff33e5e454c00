"""How good codes are: what they rank like labels, and how little of a library has to be looked at through them.

Promises: every way gets the same library, queries and tags; queries are photos that nothing was trained on. Ties of
Hamming distance go by the photo's place in the library, so a share of the library is exactly so many photos.
Never: lets a label have a part in a code. The tagger's embedding is what labels taught it, and its figures say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tagwright_server.search.codes import Encoder
from tagwright_training.search import hashing, projections

BITS = (32, 64, 128)
CLAIMED_BITS = 64
"""At which what tags teach has to be more than what a projection finds; the authors' weights are tried there alone."""
SHARES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Of the library, that is looked at."""
EXACT = 20  # nearest photos that a first stage has to return
_BLOCK = 256  # queries at once: 35 MB of ranks for 16,990 photos

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Measure = Callable[[Array], NDArray[Any]]
"""Distances [n, library] of queries [n, D]."""


@dataclass(frozen=True, slots=True)
class Field:
    """A library to find photos in, and photos to find them with; rows of length 1."""

    name: str
    library: Array
    library_labels: Bools
    library_tags: Array
    """`words.tag_vectors` of the library's photos."""
    queries: Array
    query_labels: Bools


@dataclass(frozen=True, slots=True)
class CodeFigures:
    """One way to code, at one length."""

    field: str
    way: str
    bits: int | None
    """None: no code at all."""
    label_map: float
    """Mean over labels of the MAP of the queries with the label, relevant: photos with that label."""
    shared_map: float
    """MAP where a photo is relevant that has any label in common with the query, as the hashing literature counts."""
    recall: Mapping[str, float]
    """By share of the library looked at: share of the exact nearest that are among them."""
    seconds: float
    """To train."""


def ways(bits: int, field: Field, *, seed: int) -> Mapping[str, Callable[[], Measure]]:
    """All ways to make codes of a length, by name."""
    x, w = field.library, field.library_tags

    def coded(make: Callable[[], Encoder]) -> Callable[[], Measure]:
        def prepare() -> Measure:
            encoder = make()
            there = signs(encoder, x)
            return lambda rows: hamming(signs(encoder, rows), there)

        return prepare

    found = {
        "random hyperplanes": coded(lambda: projections.random_hyperplanes(x, bits, seed=seed)),
        "the same, centred": coded(lambda: projections.random_hyperplanes(x, bits, centred=True, seed=seed)),
        "principal signs": coded(lambda: projections.principal_signs(x, bits)),
        "ITQ": coded(lambda: projections.rotated(x, bits, seed=seed)),
        "product quantisation": lambda: quantised(x, bits),
        "WDHT, L3 at .1": coded(lambda: hashing.train(x, w, hashing.wdht(bits, seed=seed))),
        SERVED: coded(lambda: hashing.train(x, w, hashing.served(bits, seed=seed))),
    }
    if bits == CLAIMED_BITS:
        found["WDHT, authors' weights"] = coded(lambda: hashing.train(x, w, hashing.wdht(bits, edges=1.0, seed=seed)))
    return found


SERVED = "ITQ, then tags (served)"
HYPERPLANES = "random hyperplanes"


def measure(field: Field, *, seed: int, advance: Callable[[int, int], None]) -> list[CodeFigures]:
    """Every way at every length, after the embeddings themselves."""
    exact = nearest(field.library, field.queries)
    jobs: list[tuple[str, int | None, Callable[[], Measure]]] = [
        ("embedding itself", None, lambda: _cosines(field.library))
    ]
    jobs += [(name, bits, make) for bits in BITS for name, make in ways(bits, field, seed=seed).items()]
    found = []
    for done, (name, bits, make) in enumerate(jobs):
        advance(done, len(jobs))
        begun = time.monotonic()
        distance = make()
        seconds = time.monotonic() - begun
        found.append(_figures(field, name, bits, distance, exact, seconds))
    advance(len(jobs), len(jobs))
    return found


def nearest(library: Array, queries: Array, count: int = EXACT) -> NDArray[np.int64]:
    """The nearest photos of the library by cosine, [queries, count]."""
    found = [np.argsort(-(block @ library.T), axis=1, kind="stable")[:, :count] for block in _blocks(queries)]
    return np.concatenate(found)


def signs(encoder: Encoder, rows: Array) -> Array:
    """Codes as -1 and 1, float32 [n, bits]."""
    return np.where(encoder.outputs(rows) > 0, np.float32(1), np.float32(-1))


def hamming(queries: Array, library: Array) -> NDArray[np.int16]:
    """Bits that differ, [queries, library], of codes as -1 and 1."""
    apart: NDArray[np.int16] = np.rint((library.shape[1] - queries @ library.T) / 2).astype(np.int16)
    return apart


def quantised(library: Array, bits: int) -> Measure:
    """Product quantisation (Jégou, Douze and Schmid, TPAMI 2011): 8 bits a part, distances from the query itself."""
    quantizer = faiss.ProductQuantizer(library.shape[1], bits // 8, 8)
    quantizer.train(library)
    near = quantizer.decode(quantizer.compute_codes(library))
    half = (near * near).sum(axis=1) / 2
    return lambda rows: half - rows @ near.T


def first_stage_recall(
    distance: Measure, queries: Array, exact: NDArray[np.int64], shares: Sequence[float], size: int
) -> list[float]:
    """For each share of a library of `size`, the share of the `exact` photos that are among so many by distance."""
    found = [
        np.take_along_axis(_ranks(_order(distance(block))), exact[at : at + len(block)], axis=1)
        for at, block in zip(range(0, len(queries), _BLOCK), _blocks(queries), strict=True)
    ]
    ranks = np.concatenate(found)
    return [float((ranks < int(share * size)).mean()) for share in shares]


def _figures(
    field: Field, name: str, bits: int | None, distance: Measure, exact: NDArray[np.int64], seconds: float
) -> CodeFigures:
    labels = field.query_labels.shape[1]
    sums, counts, shared, ranks = np.zeros(labels), np.zeros(labels), [], []
    for at, block in zip(range(0, len(field.queries), _BLOCK), _blocks(field.queries), strict=True):
        rows = slice(at, at + len(block))
        order = _order(distance(block))
        ranks.append(np.take_along_axis(_ranks(order), exact[rows], axis=1))
        truth = field.query_labels[rows]
        common = (truth.astype(np.float32) @ field.library_labels.T.astype(np.float32)) > 0
        shared.append(_precisions(np.take_along_axis(common, order, axis=1)))
        for label in range(labels):
            mine = truth[:, label]
            sums[label] += np.nansum(_precisions(field.library_labels[:, label][order[mine]]))
            counts[label] += mine.sum()
    every, size = np.concatenate(ranks), len(field.library)
    return CodeFigures(
        field.name,
        name,
        bits,
        label_map=float((sums / np.maximum(counts, 1))[counts > 0].mean()),
        shared_map=float(np.nanmean(np.concatenate(shared))),
        recall={str(share): float((every < int(share * size)).mean()) for share in SHARES},
        seconds=seconds,
    )


def _precisions(hits: Bools) -> NDArray[np.float64]:
    """Average precision of each row of hits in order; NaN where there is none."""
    places = np.arange(1, hits.shape[1] + 1, dtype=np.float32)
    precision = np.cumsum(hits, axis=1, dtype=np.float32) / places
    holds = hits.sum(axis=1)
    total = np.where(hits, precision, 0).sum(axis=1, dtype=np.float64)
    return np.divide(total, holds, out=np.full(len(hits), np.nan), where=holds > 0)


def _order(apart: NDArray[Any]) -> NDArray[np.int64]:
    return np.argsort(apart, axis=1, kind="stable")


def _ranks(order: NDArray[np.int64]) -> NDArray[np.int32]:
    found = np.empty(order.shape, np.int32)
    np.put_along_axis(found, order, np.broadcast_to(np.arange(order.shape[1], dtype=np.int32), order.shape), axis=1)
    return found


def _cosines(library: Array) -> Measure:
    return lambda rows: -(rows @ library.T)


def _blocks(rows: Array) -> list[Array]:
    return [rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK)]

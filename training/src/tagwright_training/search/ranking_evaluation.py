"""How good tag search is: three sources of a ranking, and variety beside relevance.

Promises: every source and every order gets the same photos and the same truth. `Variety` is fitted on photos of the
library, and measured on others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.search.diversity import Variety
from tagwright_training.search.collection import Collection, Query
from tagwright_training.search.rankings import (
    SOURCES,
    Order,
    Result,
    by_refined_tags,
    marginal,
    plain,
    round_robin,
    varied,
)
from tagwright_training.search.search_metrics import (
    average_precision_of,
    cluster_recall_at,
    clusters_of,
    distance_at,
    mean,
    ndcg_at,
    precision_at,
)

WEIGHTS = (0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99)
LOOKS = (0.0, 0.2, 0.3, 0.5, 1.0)
LOSS = 0.03  # of P@20, that variety may cost at most


@dataclass(frozen=True, slots=True)
class Ranked:
    """One query by one source."""

    found: int
    """Photos in the result: with fewer than 20, places that are empty count as wrong."""
    precision: float
    ndcg: float
    average_precision: float


@dataclass(frozen=True, slots=True)
class QueryFigures:
    """One query by every source."""

    tag: str
    label: str
    strict: bool
    relevant: int
    by: Mapping[str, Ranked]


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """Means over queries of the first 20 in one order."""

    precision: float
    cluster_recall: float
    distance: float


@dataclass(frozen=True, slots=True)
class VarietyFigures:
    """One way to order a result, on the queries in the strict and in the plain sense."""

    way: str
    strict: OrderFigures
    plain: OrderFigures
    variety: Variety | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What a query's result is measured by, made once for all orders."""

    query: Query
    result: Result
    """Of the refined tags."""
    relevant: NDArray[np.bool_]
    clusters: NDArray[np.int64]


def rank(collection: Collection, queries: Sequence[Query]) -> list[QueryFigures]:
    """Every query by every source."""
    found = []
    for query in queries:
        relevant = collection.relevant(query)
        by = {}
        for name, source in SOURCES.items():
            photos = source(collection, query).photos
            by[name] = Ranked(
                len(photos),
                precision_at(relevant, photos),
                ndcg_at(relevant, photos),
                average_precision_of(relevant, photos),
            )
        found.append(QueryFigures(query.tag, query.label, query.strict, int(relevant.sum()), by))
    return found


def targets(collection: Collection, queries: Sequence[Query]) -> list[Target]:
    """Which photos are relevant, and which cluster each of them belongs to, -1 for the others."""
    found = []
    for query in queries:
        relevant = collection.relevant(query)
        clusters = np.full(len(relevant), -1, np.int64)
        clusters[relevant] = clusters_of(collection.others(query)[relevant])
        found.append(Target(query, by_refined_tags(collection, query), relevant, clusters))
    return found


def measure_order(collection: Collection, wanted: Sequence[Target], order: Order) -> OrderFigures:
    """Means over the queries of the refined tags' results in an order."""
    precision, recall, distance = [], [], []
    for target in wanted:
        photos = order(collection, target.query, target.result)
        precision.append(precision_at(target.relevant, photos))
        recall.append(cluster_recall_at(target.clusters, target.relevant, photos))
        distance.append(distance_at(collection.vectors, photos))
    return OrderFigures(mean(precision), mean(recall), mean(distance))


def fit(
    collection: Collection, strict: Sequence[Target], plainly: Sequence[Target], looks: Sequence[float] = LOOKS
) -> Variety:
    """The two numbers with the greatest cluster recall that cost no more of P@20 than is allowed, in both senses."""
    before = [measure_order(collection, wanted, plain) for wanted in (strict, plainly)]
    best, best_recall = Variety(relevance=1.0, look=looks[0]), 0.0
    for look in looks:
        for weight in WEIGHTS:
            variety = Variety(relevance=weight, look=look)
            after = [measure_order(collection, wanted, varied(variety)) for wanted in (strict, plainly)]
            cheap = all(a.precision >= (1 - LOSS) * b.precision for a, b in zip(after, before, strict=True))
            recall = mean([a.cluster_recall / b.cluster_recall for a, b in zip(after, before, strict=True)])
            if cheap and recall > best_recall:
                best, best_recall = variety, recall
    return best


def compare(
    collection: Collection, queries: Mapping[bool, Sequence[Query]], fitted: Mapping[str, Variety]
) -> list[VarietyFigures]:
    """Relevance, the fitted ways of variety by name, and cluster-then-round-robin; `queries` by whether strict."""
    strict, plainly = targets(collection, queries[True]), targets(collection, queries[False])
    orders: dict[str, tuple[Order, Variety | None]] = {"relevance": (plain, None)}
    orders |= {name: (varied(variety), variety) for name, variety in fitted.items()}
    orders |= {f"MMR, w .9, look {look:g}": (marginal(0.9, look), None) for look in (0.0, 0.5, 1.0)}
    orders |= {f"clusters in turns, look {look:g}": (round_robin(look), None) for look in (0.0, 0.5, 1.0)}
    return [
        VarietyFigures(
            name, measure_order(collection, strict, order), measure_order(collection, plainly, order), variety
        )
        for name, (order, variety) in orders.items()
    ]

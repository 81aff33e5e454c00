"""Three ways to rank photos for a tag, and what a result is like in an order of relevance or of variety."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tagwright_server.search.diversity import POOL, Variety, diversify, traits
from tagwright_training.refinement.corpus import normalised
from tagwright_training.search.collection import ALIASES, Collection, Query
from tagwright_training.search.search_metrics import COUNT

Array = NDArray[np.float32]
Rows = NDArray[np.int64]

CLUSTERS = 20  # of cluster-then-round-robin: as many as there are places


@dataclass(frozen=True, slots=True)
class Result:
    """Photos' numbers in order, and how relevant each is held to be, float32 in 0 to 1."""

    photos: Rows
    relevance: Array


Source = Callable[[Collection, Query], Result]
Order = Callable[[Collection, Query, Result], Rows]


def by_user_tags(collection: Collection, query: Query) -> Result:
    """Photos whose owner typed the very tag, those first where it stands earlier, then by id."""
    found = [(tags.index(query.tag), row) for row, tags in enumerate(collection.typed) if query.tag in tags]
    return _result([row for _, row in sorted(found)], [1.0] * len(found))


def by_network(collection: Collection, query: Query) -> Result:
    """All photos, by the network's calibrated score."""
    scores = collection.scores[:, collection.label_names.index(query.label)]
    order = np.argsort(-scores, kind="stable")
    return Result(order.astype(np.int64), scores[order])


def by_refined_tags(collection: Collection, query: Query) -> Result:
    """Photos that have the tag, by its score; of equal ones those whose owner typed it earlier, then by id."""
    name = ALIASES.get(query.tag, query.tag)
    has = [(row, tags[name]) for row, tags in enumerate(collection.tags) if name in tags]
    far = 1 + max((tag.position for _, tag in has if tag.position is not None), default=0)
    has.sort(key=lambda each: (-each[1].score, far if each[1].position is None else each[1].position, each[0]))
    return _result([row for row, _ in has], [tag.score for _, tag in has])


SOURCES: Mapping[str, Source] = MappingProxyType(
    {"user tags": by_user_tags, "network": by_network, "refined tags": by_refined_tags}
)


def plain(collection: Collection, query: Query, result: Result) -> Rows:
    """The order of relevance."""
    return result.photos


def varied(variety: Variety) -> Order:
    """The server's order of variety, of the POOL most relevant."""

    def order(collection: Collection, query: Query, result: Result) -> Rows:
        pool, relevance = result.photos[:POOL], result.relevance[:POOL]
        rows = _traits(collection, query, pool, variety.look)
        found: Rows = pool[diversify(relevance, rows, count=COUNT, weight=variety.relevance)]
        return found

    return order


def marginal(weight: float, look: float) -> Order:
    """MMR as it is known, with the distance 1 - cosine of looks and of all tags: what variety began with."""

    def order(collection: Collection, query: Query, result: Result) -> Rows:
        pool, relevance = result.photos[:POOL], result.relevance[:POOL]
        scores = tag_scores(collection, query, pool)
        similar = look * _cosines(collection.vectors[pool]) + (1 - look) * _cosines(scores)
        chosen: list[int] = []
        nearest, left = np.ones(len(pool)), np.ones(len(pool), np.bool_)
        for _ in range(min(COUNT, len(pool))):
            best = int(np.argmax(np.where(left, weight * relevance + (1 - weight) * nearest, -np.inf)))
            chosen.append(best)
            left[best] = False
            nearest = np.minimum(nearest, 1 - similar[best])
        found: Rows = pool[chosen]
        return found

    return order


def round_robin(look: float) -> Order:
    """Cluster, then the most relevant of each cluster in turns: k-medoids of the same traits, from far ones on."""

    def order(collection: Collection, query: Query, result: Result) -> Rows:
        pool = result.photos[:POOL]
        rows = _traits(collection, query, pool, look)
        cluster = medoid_clusters(rows, CLUSTERS)
        turn = np.array([int((cluster[:at] == cluster[at]).sum()) for at in range(len(pool))])
        found: Rows = pool[np.lexsort((np.arange(len(pool)), turn))][:COUNT]
        return found

    return order


def medoid_clusters(rows: Array, count: int) -> Rows:
    """Return each row's cluster by k-medoids on squared distances; medoids begin at the first and the farthest ones."""
    squares = np.square(rows).sum(axis=1)
    apart = squares[:, None] + squares - 2 * rows @ rows.T
    medoids = [0]
    while len(medoids) < min(count, len(rows)):
        medoids.append(int(np.argmax(apart[:, medoids].min(axis=1))))
    cluster = np.argmin(apart[:, medoids], axis=1)
    for _ in range(10):
        members = [np.flatnonzero(cluster == at) for at in range(len(medoids))]
        moved = [
            int(rows_of[np.argmin(apart[np.ix_(rows_of, rows_of)].sum(axis=1))]) if len(rows_of) else medoid
            for medoid, rows_of in zip(medoids, members, strict=True)
        ]
        if moved == medoids:
            break
        medoids, cluster = moved, np.argmin(apart[:, moved], axis=1)
    return np.asarray(cluster, np.int64)


def tag_scores(collection: Collection, query: Query, pool: Rows) -> Array:
    """The scores of the pool's tags but the query's own, [pool, tags], as the server has them."""
    own = ALIASES.get(query.tag, query.tag)
    photos = [collection.tags[row] for row in pool.tolist()]
    column = {name: at for at, name in enumerate(dict.fromkeys(n for tags in photos for n in tags if n != own))}
    scores = np.zeros((len(photos), len(column)), np.float32)
    for at, tags in enumerate(photos):
        for name, tag in tags.items():
            if name != own:
                scores[at, column[name]] = tag.score
    return scores


def _traits(collection: Collection, query: Query, pool: Rows, look: float) -> Array:
    return traits(collection.vectors[pool], tag_scores(collection, query, pool), look=look)


def _cosines(rows: Array) -> Array:
    unit = normalised(rows)
    return unit @ unit.T


def _result(rows: list[int], relevance: list[float]) -> Result:
    return Result(np.array(rows, np.int64), np.array(relevance, np.float32))

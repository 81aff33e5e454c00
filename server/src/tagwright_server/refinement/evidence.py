"""What speaks for and against each tag of a photo, as numbers: the votes of photos that look alike, the look that a
tag's own photos have, the photo's other tags, the network, and its owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.refinement.label_words import LabelWords
from tagwright_server.refinement.records import Neighbours, Photo
from tagwright_server.refinement.statistics import Statistics

FEATURES = ("offset", "given", "first", "votes", "probe", "others", "words", "network")
"""Columns of `Evidence.features`; what each means stands with `Evidence`."""

_SHRUNK = 0.3  # share of a tag's own variance: how far what others say is believed
_FEW = 5.0  # photos that have to have two tags before their coming together is believed by half
_SURE = 1e-4  # probabilities are kept this far from 0 and 1

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of m tags: float64 [m] each, unless said otherwise."""

    names: tuple[str, ...]
    place: Numbers
    """Where among its owner's tags it stands, from 1; 0: the owner did not give it."""
    votes: Numbers
    """Weight of the neighbours that have it."""
    expected: Numbers
    """Weight that chance would give."""
    vote_z: Numbers
    """(votes - expected) in standard deviations: TagVote (Li, Snoek, Worring 2009), comparable from tag to tag."""
    probe_z: Numbers
    others: Numbers
    """Logit of the probability that the photo's other tags give, less that of the prior."""
    words: Numbers
    """What the photo's other tags say of the label that means the tag; 0 where none does."""
    network: Numbers
    """Logit of the network's calibrated score; NaN where no label means the tag."""

    def features(self) -> Numbers:
        """Return [m, FEATURES], what the refiner weighs."""
        given = self.place > 0
        return np.stack(
            [
                np.ones(len(self.names)),
                given,
                given / np.maximum(self.place, 1.0),
                np.arcsinh(self.vote_z),
                self.probe_z,
                self.others,
                self.words,
                np.nan_to_num(self.network),
            ],
            axis=1,
        )


def gather(
    photo: Photo,
    neighbours: Neighbours,
    statistics: Statistics,
    names: Sequence[str],
    label_words: LabelWords,
) -> Evidence:
    """Weigh `names` for one photo, by the library's statistics and the neighbours that vote."""
    count = len(names)
    place = {tag: float(at) for at, tag in enumerate(photo.user_tags, start=1)}
    prior = (statistics.counts(names) + 0.5) / (statistics.photos + 1.0)
    votes, expected, vote_z = _votes(neighbours, names, prior)
    labels = [label_words.label_of.get(name, "") for name in names]
    scores = [photo.label_scores.get(label) for label in labels]
    network = np.array([np.nan if score is None else _logit(score) for score in scores], np.float64)
    return Evidence(
        names=tuple(names),
        place=np.array([place.get(name, 0.0) for name in names]),
        votes=votes,
        expected=expected,
        vote_z=vote_z,
        probe_z=statistics.probe(photo.embedding[None], names)[0].astype(np.float64) if count else np.zeros(0),
        others=_others(photo.user_tags, statistics, names, prior),
        words=np.array(
            [label_words.tell(photo.user_tags, label, without=name) for name, label in zip(names, labels, strict=True)]
        ),
        network=network,
    )


def _votes(neighbours: Neighbours, names: Sequence[str], prior: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    column = {name: at for at, name in enumerate(names)}
    votes = np.zeros(len(names))
    for weight, tags in zip(neighbours.weights.tolist(), neighbours.tags, strict=True):
        for tag in tags:
            if (at := column.get(tag)) is not None:
                votes[at] += weight
    weight = float(neighbours.weights.sum())
    squared = float((neighbours.weights**2).sum())
    expected = prior * weight
    return votes, expected, (votes - expected) / np.sqrt(prior * (1 - prior) * squared + 1.0)


def _others(given: Sequence[str], statistics: Statistics, names: Sequence[str], prior: Numbers) -> Numbers:
    """What the photo's other tags say: the best linear prediction of a tag from those that are there.

    Of a tag that the owner gave, from the rest alone: with K the inverse covariance of the given tags, the weights of
    the rest for tag t are -K_t / K_tt.
    """
    known = [tag for tag in given if statistics.known(tag)]
    if not known:
        return np.zeros(len(names))
    photos = float(statistics.photos)
    rate = statistics.counts(known) / photos
    together = statistics.cooccurrences(known, known) / photos
    spread = rate * (1 - rate)
    covariance = together - np.outer(rate, rate)
    np.fill_diagonal(covariance, spread * (1 + _SHRUNK) + _FEW / photos)
    inverse = np.linalg.inv(covariance)
    own_rate = statistics.counts(names) / photos
    across = statistics.cooccurrences(known, names) / photos - np.outer(rate, own_rate)
    weights = inverse @ across
    row = {tag: at for at, tag in enumerate(known)}
    for at, name in enumerate(names):
        if (mine := row.get(name)) is not None:
            weights[:, at] = -inverse[mine] / inverse[mine, mine]
            weights[mine, at] = 0.0
    predicted = own_rate + (1 - rate) @ weights
    return _logits(np.maximum(predicted, 0.2 * prior)) - _logits(prior)


def _logit(probability: float) -> float:
    return float(_logits(np.array([probability]))[0])


def _logits(probabilities: Numbers) -> Numbers:
    inside = np.clip(probabilities, _SURE, 1 - _SURE)
    return np.log(inside / (1 - inside))

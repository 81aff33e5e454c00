"""The best we know without any expert label: a linear probe on user tags that mean the same, and the photo's own tags.

What a photographer calls `people` is seldom all photos of people: most carry `girl`, `kids`, `family`. So a probe
learns a tag from every photo with one of the words that mean or imply it. A photo's own words count on top, the more
the better the probe tells the tag: where vision confirms its users (dog), they are believed; where not (people), less.

Promises: deterministic; reads vectors and user tags only. The table of words was written by hand from the words'
meaning, and a few (truck, van) were struck out after a look at labels; penalty, weight of own words and the choice
between tried variants come from the calibrate part's labels. Nothing is fitted to a label, and a photo's score does
not depend on which other photos are asked for.

Tried on the calibrate part and left out: own words scored by place, the photo's other tags as text, tags propagated
among neighbours before training, WordNet's hyponyms (too many names and other senses), kernels, kNN votes added (all
no better or worse); a hidden layer learnt on all tags (+.003 for ten times the work).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tagwright_training.refinement.baselines import fit_ridge
from tagwright_training.refinement.corpus import TAGS_OF_LABEL, Embedded, TagMatrix, normalised

Array = NDArray[np.float32]

KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        tag: tuple(words.split())
        for tag, words in {
            "animal": "cat cats dog dogs puppy bird birds horse horses insect insects butterfly bee fish duck cow "
            "sheep squirrel monkey kitty kitten spider dragonfly",
            "architecture": "house bridge tower church skyscraper skyline cityscape cathedral castle arquitectura",
            "baby": "bebe toddler",
            "bird": "duck ducks gull seagull owl eagle hawk pigeon swan heron goose geese parrot robin crow sparrow "
            "finch",
            "car": "taxi cab voiture carro vw volkswagen bmw porsche chevy",
            "clouds": "nubes nuvole nuages wolken nuvens",
            "dog": "perro hund pup doggy canine terrier labrador beagle poodle chihuahua corgi",
            "flower": "rose roses tulip tulips daisy orchid lily sunflower petals bloom flor flores fiori fiore fleur "
            "fleurs",
            "food": "cake fruit chocolate breakfast lunch dinner dessert cupcake bread cheese vegetables pizza sushi",
            "girl": "chica mujer donna ragazza femme bride mother sister wife daughter",
            "indoor": "room kitchen bedroom",
            "lake": "lago lac",
            "man": "hombre uomo father dad husband son brother",
            "night": "noche notte nuit nacht nightphotography",
            "people": "girl girls woman women lady female man men boy boys guy male child children kid kids baby "
            "babies toddler family friends couple bride groom self selfportrait me model gente",
            "plant": "flower flowers tree trees leaf leaves rose tulip forest garden",
            "portrait": "face retrato ritratto headshot selfportrait",
            "river": "rio fiume creek",
            "sea": "mar mare mer seaside seascape waves",
            "sky": "cielo ciel himmel clouds cloud",
            "sunset": "atardecer tramonto",
            "transport": "car cars truck taxi airplane plane motorcycle scooter tram subway",
            "tree": "forest woods oak pine palm palmtree arbol alberi albero arbre",
            "water": "sea ocean lake river waterfall agua acqua waves",
        }.items()
    }
)
"""Words that imply a tag: kinds of it, parts that are seldom seen without it, and the word in other languages."""


@dataclass(frozen=True, slots=True)
class WordsAndProbe:
    """s(t | x) = z_t(x) + own_weight * c_t * (1 if a word for t is typed, 1/2 if only one that implies it).

    z_t is the ridge probe's output in deviations over the library, c_t its mean over the library photos with such a
    word. A tag without an entry in the tables is its own only word.
    """

    ridge: float = 6
    own_weight: float = 0.5
    name: str = "words and probe"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`; 0 for a tag that no library photo has a word for."""
        typed = any_of(library.tags, [same_words(name) + KINDS.get(name, ()) for name in names])
        probe = fit_ridge(library.vectors, typed, self.ridge)
        seen, asked = probe.predict(library.vectors), probe.predict(photos.vectors)
        mean, deviation = seen.mean(0), np.maximum(seen.std(0), 1e-6)
        confirmed = ((seen - mean) / deviation * typed).sum(0) / np.maximum(typed.sum(0), 1)
        same = any_of(photos.tags, [same_words(name) for name in names])
        implied = any_of(photos.tags, [KINDS.get(name, ()) for name in names])
        own = np.maximum(same, implied / 2)
        return np.asarray((asked - mean) / deviation + self.own_weight * confirmed * own, np.float32)


def same_words(name: str) -> tuple[str, ...]:
    """The tag and the words that mean the same in the published label-to-tag map."""
    return next((words for words in TAGS_OF_LABEL.values() if name in words), (name,))


def any_of(tags: TagMatrix, groups: Sequence[Sequence[str]]) -> Array:
    """1 where a photo carries a tag of the group, `[photos, groups]`."""
    found = [tags.only(tuple(dict.fromkeys(group))) for group in groups]
    return np.stack([(np.diff(kept.indptr) > 0).astype(np.float32) for kept in found], axis=1)


def side_by_side(*features: Array) -> Array:
    """Several networks' features of the same photos as one vector of length 1, all networks weighing the same."""
    return normalised(np.hstack([normalised(part) for part in features]))

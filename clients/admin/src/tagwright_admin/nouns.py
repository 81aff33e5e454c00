"""Which noun of WordNet the name of a tag is, and what it means there. Works on what was read; asks nobody."""

from __future__ import annotations

from collections.abc import Iterator

from tagwright_admin import tag_names
from tagwright_admin.wordnet import Synset, WordNet

# lexicographer files: noun.animal, .artifact, .body, .food, .object, .person, .phenomenon and .plant
_THINGS = frozenset({5, 6, 8, 13, 17, 18, 19, 20})
_SHORTEST = 3  # letters: what is shorter is an abbreviation more often than a noun
# WordNet has these as words of their own (a nation, a work force); as tags they are plurals.
_PLURALS = {"men": "man", "people": "person"}
# What these words mean in photographs is not what they mean most often in texts, where a male is an animal, a plant a
# factory, water a substance, a church its members, smoke a cloud, and much of what is eaten no food. Here are the
# lexicographer files of what is meant; 3 is noun.Tops, where animal, person and plant are themselves.
_PICTURED = {
    "church": frozenset({6}),
    "cloud": frozenset({17}),
    "female": frozenset({18}),
    "food": frozenset({3, 13}),
    "male": frozenset({18}),
    "plant": frozenset({3}),
    "water": frozenset({17}),
}
_ENDINGS = (  # of plurals, and what they are in the singular: morphy(7WN)
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)


class Nouns:
    """The nouns of WordNet by how tags are written: with spaces or without, in the singular or in the plural."""

    def __init__(self, wordnet: WordNet) -> None:
        self._wordnet = wordnet
        self._by_letters: dict[str, str] = {}
        ambiguous: set[str] = set()
        for word in wordnet.nouns:
            other = self._by_letters.setdefault(_letters(word), word)
            if self._first(other) != self._first(word):
                ambiguous.add(_letters(word))  # a coop is no co-op
            elif "_" in word:
                self._by_letters[_letters(word)] = word
        for letters in ambiguous:
            del self._by_letters[letters]

    def noun(self, name: str) -> str | None:
        """Return the noun that a tag's name is, or is the plural of; None where it is none."""
        if len(name) > tag_names.LONGEST:
            return None
        word = name.replace(" ", "_")
        found = _PLURALS.get(word) or self._spelt(word) or next(self._singulars(word), None)
        return found if found in self._wordnet.nouns else None

    def senses(self, noun: str) -> tuple[str, ...]:
        """Return what a noun means as a tag: its commonest meaning, or what it means in photographs.

        Nothing where it has several meanings and was met in no text: their order says nothing then. (The first of
        bunny is a waitress.)
        """
        found = self._wordnet.nouns[noun]
        if noun in _PICTURED:
            return tuple(sense for sense in found.senses if self.synset(sense).file in _PICTURED[noun])
        return found.senses[:1] if found.occurring or len(found.senses) == 1 else ()

    def meaning(self, noun: str) -> str:
        """Return what a noun has in common with its synonyms; itself where nobody knows which meaning is meant."""
        senses = self.senses(noun)
        if not senses or (self._capital(noun, at_least=2) and not self._name(noun, senses[0])):  # john is no toilet
            return noun
        return senses[0]

    def gloss(self, noun: str) -> str:
        """Return what a noun means, in words."""
        return self.synset((self.senses(noun) or self._wordnet.nouns[noun].senses)[0]).gloss

    def synset(self, sense: str) -> Synset:
        """Return a meaning by its number."""
        return self._wordnet.synsets[sense]

    def above(self, sense: str) -> tuple[str, ...]:
        """Return the meanings directly above one."""
        return tuple(each for each in self.synset(sense).above if each in self._wordnet.synsets)

    def thing(self, noun: str) -> bool:
        """Whether what it means as a tag can be seen, and the word is not also somebody's or some place's name."""
        senses = self.senses(noun)
        return bool(senses) and self.synset(senses[0]).file in _THINGS and not self._capital(noun, at_least=2)

    def _spelt(self, word: str) -> str | None:
        found = self._by_letters.get(_letters(word)) or (word if word in self._wordnet.nouns else None)
        return found if found and len(found) >= _SHORTEST and not found[0].isdigit() else None

    def _singulars(self, word: str) -> Iterator[str]:
        """Go through the nouns that a word may be the plural of, irregular ones first; none is a name."""
        head, gap, last = word.rpartition("_")
        for singular in self._wordnet.plurals.get(last) or _regular(last):
            found = self._spelt(head + gap + singular)
            if found and not self._capital(found, at_least=1):
                yield found

    def _capital(self, noun: str, *, at_least: int) -> bool:
        """Whether one of a noun's common meanings is written with a capital letter; at least some are looked at.

        Of the rarer ones nearly every noun has one: Tree was an actor, the Lion is a sign of the zodiac.
        """
        found = self._wordnet.nouns[noun]
        common = found.senses[: max(at_least, found.occurring)]
        return any(self._name(noun, sense) for sense in common)

    def _name(self, noun: str, sense: str) -> bool:
        written = [word for word in self.synset(sense).words if word.lower() == noun]
        return any(word[0].isupper() and not word.isupper() for word in written)  # CAT is no name

    def _first(self, noun: str) -> str:
        return self._wordnet.nouns[noun].senses[0]


def _letters(word: str) -> str:
    return word.replace("_", "").replace("-", "")


def _regular(word: str) -> list[str]:
    if word.endswith("ss"):
        return []
    return [word.removesuffix(plural) + singular for plural, singular in _ENDINGS if word.endswith(plural)]

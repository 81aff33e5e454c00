"""Which words name things that can be seen, by WordNet 3.0 (Princeton; Debian's wordnet-base).

A word counts when the sense that is meant most often is a thing: an animal, a plant, food, an artefact, a part of a
body, a person by kind, a place by kind or a phenomenon of nature. A word that is also somebody's or some place's name
does not count, since a photo's owner may well have meant that.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path("/usr/share/wordnet")
# lexicographer files: noun.animal, .artifact, .body, .food, .object, .person, .phenomenon and .plant
_THINGS = frozenset({5, 6, 8, 13, 17, 18, 19, 20})


def read_concepts(folder: Path = FOLDER) -> frozenset[str]:
    """Return the words, lower case, of several parts both with spaces and without. Raises FileNotFoundError."""
    kinds: dict[str, int] = {}
    named: set[str] = set()
    for line in _lines(folder / "data.noun"):
        # offset, lexicographer file, n, number of words (hexadecimal), then word and sense in turns
        fields = line.split(" ")
        kinds[fields[0]] = int(fields[1])
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        named |= {word.lower() for word in words if word[0].isupper() and not word.isupper()}  # CAT is no name
    concepts: set[str] = set()
    for line in _lines(folder / "index.noun"):
        # word, n, senses, pointers, their kinds, senses again, senses that texts are marked with, offsets by frequency
        fields = line.split(" ")
        word, first = fields[0], fields[6 + int(fields[3])]
        if kinds[first] in _THINGS and word not in named and len(word) > 2 and not word[0].isdigit():
            concepts |= {word.replace("_", " "), word.replace("_", "")}
    return frozenset(concepts)


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="ascii").splitlines() if not line.startswith(" ")]  # the licence

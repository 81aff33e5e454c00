"""The nouns of WordNet 3.0 (Princeton), as its files hold them: data.noun, index.noun and noun.exc.

Promises never to read more of a file than LIMIT_BYTES; a folder that is not there, and a line that makes no sense, end
in one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tagwright_admin.connection import USAGE, Refused

FOLDER = "/usr/share/wordnet"
PACKAGE = "wordnet-base"  # Debian's
LIMIT_BYTES = 64 * 1024 * 1024  # data.noun has 15 MB; what is larger is another file
_HYPERNYM = "@"  # not `@i`, which leads from a name (the Danube) to what it is the name of (a river)


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: the words that have it, written with `_`, the meanings above it, and its definition.

    `file` is the lexicographer file that it is from (lexnames(5WN)): 5 is noun.animal.
    """

    file: int
    words: tuple[str, ...]
    above: tuple[str, ...]
    gloss: str


@dataclass(frozen=True, slots=True)
class Noun:
    """The meanings of one word, the commonest first, of which the first `occurring` were met in the texts counted."""

    senses: tuple[str, ...]
    occurring: int


@dataclass(frozen=True, slots=True)
class WordNet:
    """Meanings by their numbers, nouns by their words (lower case, written with `_`), and irregular plurals."""

    synsets: Mapping[str, Synset]
    nouns: Mapping[str, Noun]
    plurals: Mapping[str, tuple[str, ...]]


def read(folder: str = FOLDER) -> WordNet:
    """Read a folder of WordNet; noun.exc may be missing. Raises Refused."""
    synsets = dict(_synset(words, where) for words, where in _lines(folder, "data.noun"))
    nouns: dict[str, Noun] = {}
    for words, where in _lines(folder, "index.noun"):
        word, noun = _noun(words, where)
        if not all(sense in synsets for sense in noun.senses):
            raise _senseless(where)
        nouns[word] = noun
    plurals: dict[str, tuple[str, ...]] = {}
    if os.path.exists(os.path.join(folder, "noun.exc")):
        for words, _ in _lines(folder, "noun.exc"):
            plural, *singulars = words.split()
            plurals[plural] = (*plurals.get(plural, ()), *singulars)
    return WordNet(synsets, nouns, plurals)


def _synset(line: str, where: str) -> tuple[str, Synset]:
    # number, lexicographer file, n, count of words (hexadecimal), word and its place in the file in turns,
    # count of pointers, then for each its kind, where it leads, a part of speech, and from which word to which
    facts, _, gloss = line.partition(" | ")
    fields = facts.split()
    try:
        behind = 4 + 2 * int(fields[3], 16)
        words = tuple(fields[4:behind:2])
        pointers = fields[behind + 1 : behind + 1 + 4 * int(fields[behind])]
        above = tuple(to for kind, to in zip(pointers[::4], pointers[1::4], strict=True) if kind == _HYPERNYM)
        if not words:
            raise _senseless(where)
        return fields[0], Synset(int(fields[1]), words, above, gloss.partition('; "')[0].strip())
    except (ValueError, IndexError) as err:
        raise _senseless(where) from err


def _noun(line: str, where: str) -> tuple[str, Noun]:
    # word, n, count of meanings, count of the kinds of pointers, these, count of meanings again, how many of them were
    # met in texts, the meanings by how common they are
    fields = line.split()
    try:
        behind = 4 + int(fields[3])
        noun = Noun(tuple(fields[behind + 2 :]), int(fields[behind + 1]))
        if not noun.senses or len(noun.senses) != int(fields[2]):
            raise _senseless(where)
        return fields[0], noun
    except (ValueError, IndexError) as err:
        raise _senseless(where) from err


def _lines(folder: str, name: str) -> Iterator[tuple[str, str]]:
    """Go through the lines of a file that are not the licence, each with where it is."""
    path = os.path.join(folder, name)
    try:
        with open(path, "rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except FileNotFoundError as err:
        raise Refused(
            f"there is no {path}; install WordNet (Debian's package {PACKAGE}), or name its folder by --folder",
            exit_code=USAGE,
        ) from err
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        raise Refused(f"cannot read {path}: {getattr(err, 'strerror', None) or err}", exit_code=USAGE) from err
    if len(data) > LIMIT_BYTES:
        raise Refused(f"{path} is too large for WordNet's", exit_code=USAGE)
    # Some glosses of later editions are not ASCII; no word is, so what they become does not matter.
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        if line.strip() and not line.startswith(" "):
            yield line, f"{path}, line {number}"


def _senseless(where: str) -> Refused:
    return Refused(f"{where}: it is no line of WordNet 3.0", exit_code=USAGE)

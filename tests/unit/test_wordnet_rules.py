"""Which rules WordNet suggests for tags in use: other names, and what follows."""

from __future__ import annotations

import json
import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import tiny_wordnet

from tagwright_admin import wordnet
from tagwright_admin.connection import Refused
from tagwright_admin.nouns import Nouns
from tagwright_admin.rule_graph import RuleGraph
from tagwright_admin.rule_proposals import Proposal, propose
from tagwright_client import TagEntry


@pytest.fixture(scope="module")
def nouns(tmp_path_factory: pytest.TempPathFactory) -> Nouns:
    return Nouns(wordnet.read(str(tiny_wordnet.write(tmp_path_factory.mktemp("wordnet")))))


def tag(name: str, photos: int = 9, *, aliases: Collection[str] = (), parents: Collection[str] = ()) -> TagEntry:
    return TagEntry(name, tuple(aliases), tuple(parents), photos, 0)


def proposed(nouns: Nouns, *tags: TagEntry | str, labels: Collection[str] = (), **said: Any) -> list[Proposal]:
    entries = [tag(each) if isinstance(each, str) else each for each in tags]
    return propose(entries, frozenset(labels), nouns, **said)


def aliases(found: list[Proposal]) -> dict[str, list[str]]:
    return {each.name: [name for name, _ in each.aliases] for each in found if each.aliases}


def parents(found: list[Proposal]) -> dict[str, list[str]]:
    return {each.name: list(each.parents) for each in found if each.parents}


def test_a_plural_becomes_an_alias_of_its_noun_or_the_noun_of_a_plural_that_is_commoner(nouns: Nouns) -> None:
    found = proposed(nouns, tag("dog", 9), tag("dogs", 4), tag("puppy", 5), tag("puppies", 6), tag("geese"), "goose")
    assert aliases(found) == {"dog": ["dogs"], "puppies": ["puppy"], "geese": ["goose"]}
    assert found[0].aliases == (("dogs", 4),)
    assert found[0].moved == 4
    assert aliases(proposed(nouns, "leaves", "leaf")) == {"leaf": ["leaves"]}  # of several nouns the first
    assert aliases(proposed(nouns, "dogs", "geese", "puppies")) == {}  # nothing in use that they are plurals of


def test_men_and_people_are_plurals_whatever_else_they_are(nouns: Nouns) -> None:
    assert aliases(proposed(nouns, "men", "man", "person", "people")) == {"man": ["men"], "people": ["person"]}


def test_a_plural_that_is_a_word_of_its_own_and_one_of_a_name_are_no_aliases(nouns: Nouns) -> None:
    names = ["glasses", "glass", "turkeys", "turkey", "danubes", "danube", "boss", "bos", "ox", "oxs", "co-op", "coop"]
    assert aliases(proposed(nouns, *names)) == {}


def test_other_spellings_of_a_noun_become_aliases(nouns: Nouns) -> None:
    found = proposed(nouns, tag("bluesky", 9), tag("blue sky", 5), tag("blueskies", 2), "redsky", "red sky")
    assert aliases(found) == {"bluesky": ["blue sky", "blueskies"]}
    found = proposed(nouns, tag("blue air", 9), "t shirt", tag("t-shirts", 3), tag("tshirt", 20))
    assert aliases(found) == {"tshirt": ["t shirt", "t-shirts"]}


def test_a_label_keeps_its_name_however_rare_it_is(nouns: Nouns) -> None:
    found = proposed(nouns, tag("animal", 137), tag("animals", 63), tag("beast", 7), labels=["animals"])
    assert aliases(found) == {"animals": ["animal"]}
    assert aliases(proposed(nouns, tag("dogs", 10), labels=["dog"])) == {"dog": ["dogs"]}  # it has no photo yet
    assert proposed(nouns, tag("dogs", 10), tag("dog", 8), labels=["dog", "dogs"]) == []
    named = proposed(nouns, tag("hound", 3, aliases=["dog"]), tag("puppy", 9), labels=["dog"])
    assert parents(named) == {"puppy": ["hound"]}  # a label that was renamed


def test_a_tag_that_people_gave_rules_keeps_its_name(nouns: Nouns) -> None:
    for ruled in (tag("dog", 2, aliases=["hound"]), tag("dog", 2, parents=["pet"])):
        assert aliases(proposed(nouns, ruled, tag("dogs", 50))) == {"dog": ["dogs"]}


def test_rules_that_people_set_are_not_gone_against(nouns: Nouns) -> None:
    for one, other in (
        (tag("dog", aliases=["hound"]), tag("dogs", aliases=["hounds"])),
        (tag("dog", parents=["pet"]), tag("dogs", parents=["nuisance"])),
        (tag("dog", parents=["dogs"]), tag("dogs")),
        (tag("dogs", parents=["pack"]), tag("dog")),  # and pack implies dog
    ):
        assert aliases(proposed(nouns, one, other, tag("pack", parents=["dog"]))) == {}
    same = tag("dog", parents=["pet"]), tag("dogs", 1, parents=["pet"])
    assert aliases(proposed(nouns, *same)) == {"dog": ["dogs"]}


def test_synonyms_are_aliases_only_where_they_are_asked_for(nouns: Nouns) -> None:
    names = ["depository", "bank", "bunny", "rabbit", "gobbler", "turkey"]
    tags = [tag("car", 5), tag("auto", 9), tag("autos", 1), *map(tag, names)]
    assert aliases(proposed(nouns, *tags)) == {"auto": ["autos"]}
    assert aliases(proposed(nouns, *tags, synonyms=True)) == {"auto": ["autos", "car"]}


def test_the_nearest_tags_that_are_more_general_become_parents(nouns: Nouns) -> None:
    assert parents(proposed(nouns, "puppy", "dog", "canine", "pet", "animals", "sky", "bluesky")) == {
        "bluesky": ["sky"],
        "canine": ["animals"],
        "dog": ["canine", "pet"],
        "pet": ["animals"],
        "puppy": ["dog"],
    }
    assert parents(proposed(nouns, "puppy", "canine", "animal")) == {"puppy": ["canine"], "canine": ["animal"]}
    assert parents(proposed(nouns, "flower", labels=["plant_life"])) == {"flower": ["plant_life"]}  # any of its words
    assert parents(proposed(nouns, "dog", tag("fauna", aliases=["animals"]))) == {"dog": ["fauna"]}
    assert parents(proposed(nouns, "puppies", "puppy", "dogs", "dog")) == {"puppy": ["dog"]}  # no parent that goes
    assert parents(proposed(nouns, "puppy", tag("car", 2), tag("auto", 3), "transport")) == {
        "auto": ["transport"],
        "car": ["transport"],
    }


def test_each_word_counts_by_what_it_means_most_often(nouns: Nouns) -> None:
    assert parents(proposed(nouns, "savings bank", "bank", "structure")) == {"savings bank": ["structure"]}
    assert parents(proposed(nouns, "bunny", "people", "animal")) == {}  # which of its meanings that is nobody knows
    assert parents(proposed(nouns, "dog", "organism", "entity", "being")) == {}


def test_some_words_mean_something_else_in_photographs(nouns: Nouns) -> None:
    assert parents(proposed(nouns, "man", "male", "animals", "people", "flower", "plant", "structure")) == {
        "flower": ["plant"],
        "male": ["people"],
        "man": ["male"],
    }


def test_names_get_no_parents_but_for_nouns_that_are_rarely_one(nouns: Nouns) -> None:
    assert parents(proposed(nouns, "turkey", "bird", "danube", "river")) == {}
    assert parents(proposed(nouns, "tree", "plant")) == {"tree": ["plant"]}


def test_what_is_there_is_not_proposed_again(nouns: Nouns) -> None:
    found = proposed(nouns, "dog", "dogs", "puppy", "pet", "animals", "animal", labels=["animals"])
    assert aliases(found) == {"animals": ["animal"], "dog": ["dogs"]}
    # "animals" may have been given photos of a tag; what was applied is what there is
    after = [
        tag(name, aliases=aliases(found).get(name, ()), parents=parents(found).get(name, ()))
        for name in ("dog", "puppy", "pet", "animals")
    ]
    assert proposed(nouns, *after, labels=["animals"]) == []
    assert parents(proposed(nouns, tag("puppy", parents=["toy"]), tag("toy", parents=["animal"]), "animal")) == {}


def test_no_circle_is_proposed(nouns: Nouns) -> None:
    assert parents(proposed(nouns, "dog", tag("animal", parents=["creature"]), tag("creature", parents=["dog"]))) == {}
    among = ["puppy", "dog", "dogs", "canine", "pet", "animal", "animals", "bird", "geese", "goose", "sky", "bluesky"]
    for seed in range(200):
        dice = random.Random(seed)
        there = {name: dice.sample(among[:at], min(at, dice.randrange(3))) for at, name in enumerate(among)}
        renamed = dict(zip(among, dice.sample(among, len(among)), strict=True))
        entries = [
            tag(renamed[name], dice.randrange(9), parents=[renamed[each] for each in above])
            for name, above in there.items()
        ]
        found = proposed(nouns, *entries, synonyms=True)
        goes = {name: each.name for each in found for name, _ in each.aliases}
        rules = {(entry.name, above) for entry in entries for above in entry.parents}
        rules |= {(each.name, above) for each in found for above in each.parents}
        _need_no_circle({(goes.get(name, name), goes.get(above, above)) for name, above in rules})


def _need_no_circle(rules: set[tuple[str, str]]) -> None:
    while rules:
        below = {name for name, _ in rules}
        left = {(name, above) for name, above in rules if above in below}
        assert len(left) < len(rules), f"a circle: {rules}"
        rules = left


def test_rare_tags_and_those_that_are_left_out_count_for_nothing(nouns: Nouns) -> None:
    tags = [tag("dog", 5), tag("dogs", 4), tag("animal", 4), tag("puppy", 5)]
    assert parents(proposed(nouns, *tags, min_photos=5)) == {"puppy": ["dog"]}
    assert aliases(proposed(nouns, *tags, min_photos=5)) == {}
    assert parents(proposed(nouns, *tags, min_photos=5, labels=["animal"])) == {"dog": ["animal"], "puppy": ["dog"]}
    found = proposed(nouns, *tags, exclude=frozenset({"dog"}))
    assert (aliases(found), parents(found)) == ({}, {"dogs": ["animal"], "puppy": ["dogs"]})
    assert proposed(nouns, tag("dog", aliases=["hound"]), "animal", exclude=frozenset({"hound"})) == []


def test_tags_may_have_any_name_or_there_are_none(nouns: Nouns) -> None:
    assert proposed(nouns) == []
    odd = ["🐕", "🐕s", "dog" * 3333 + "s", "a" * 10_000, "_", " ", "-", "s", "es", "'; drop", "\u202edog", "אבא", "ß"]
    assert proposed(nouns, *odd, *(f"{name} " for name in odd), synonyms=True) == []


def test_the_gloss_is_the_definition_without_its_examples(nouns: Nouns) -> None:
    (found,) = proposed(nouns, "person", "individual", synonyms=True)
    assert found.gloss == "a human being"


def test_a_graph_of_rules_takes_no_circle() -> None:
    graph = RuleGraph({"a": ["b"], "b": ["c"]})
    assert not graph.add("c", "a")
    assert not graph.add("a", "a")
    assert graph.add("a", "c")
    assert graph.needless("a", "c")
    assert not graph.needless("a", "b")
    assert not graph.merge("c", "a")
    assert graph.merge("b", "d")
    assert graph.parents("a") == {"d", "c"}
    assert graph.implies("d", "c")


def test_a_folder_that_is_not_there_names_the_package(tmp_path: Path) -> None:
    for folder in (str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(Refused, match=r"there is no .*data\.noun; .*Debian's package wordnet-base") as raised:
            wordnet.read(folder)
        assert raised.value.exit_code == 2
    with pytest.raises(Refused, match="cannot read"):
        wordnet.read("nul\0l")
    tiny_wordnet.write(tmp_path)
    (tmp_path / "index.noun").unlink()
    with pytest.raises(Refused, match=r"there is no .*index\.noun"):
        wordnet.read(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("data.noun", "00000099 05 n 02 dog 0 | a line that ends too early"),
        ("data.noun", "00000099 05 n zz dog 0 000 | a count that is none"),
        ("data.noun", "00000099 xx n 01 dog 0 000 | a file that is none"),
        ("data.noun", "00000099 05 n 00 000 | no word"),
        ("data.noun", "00000099 05 n 01 dog 0 002 @ | half a pointer"),
        ("data.noun", "<html>"),
        ("index.noun", "dog n 1 1 @ 1 1 99999999"),
        ("index.noun", "dog n 2 1 @ 2 1 00000010"),
        ("index.noun", "dog n 0 1 @ 0 0"),
        ("index.noun", "dog"),
        ("index.noun", "\ufffd\x00"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path: Path, file: str, line: str) -> None:
    tiny_wordnet.write(tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as end:
        end.write(f"{line}\n")
    number = len((tmp_path / file).read_text(encoding="utf-8").splitlines())
    with pytest.raises(Refused, match=rf"{file}, line {number}: it is no line of WordNet 3\.0") as raised:
        wordnet.read(str(tmp_path))
    assert raised.value.exit_code == 2


def test_a_file_may_be_missing_empty_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_wordnet.write(tmp_path, plurals="")
    nouns = Nouns(wordnet.read(str(tmp_path)))
    assert aliases(proposed(nouns, "dogs", "dog", "geese", "goose")) == {"dog": ["dogs"]}
    monkeypatch.setattr(wordnet, "LIMIT_BYTES", 100)
    with pytest.raises(Refused, match="too large"):
        wordnet.read(str(tmp_path))
    (tmp_path / "data.noun").write_text("")
    (tmp_path / "index.noun").write_text("")
    assert proposed(Nouns(wordnet.read(str(tmp_path))), "dog", "dogs") == []


def test_the_real_one_says_of_the_models_labels_what_people_would() -> None:
    if not Path(wordnet.FOLDER, "index.noun").exists():
        pytest.skip(f"{wordnet.PACKAGE} is not installed")
    named = (Path(__file__).parents[2] / "model_repository/tagger/1/manifest.json").read_text(encoding="utf-8")
    labels = [label["name"] for label in json.loads(named)["labels"]]
    things = ["cat", "building", "house", "pizza", "apple", "rose", "cloud", "bluesky", "smoke", "tiger"]
    tags = ["dogs", "animal", "woman", "men", "man", "person", *things]
    found = proposed(Nouns(wordnet.read()), *tags, labels=labels)
    assert aliases(found) == {
        "animals": ["animal"],
        "clouds": ["cloud"],
        "dog": ["dogs"],
        "man": ["men"],
        "people": ["person"],
    }
    assert parents(found) == {
        "apple": ["food"],
        "baby": ["people"],
        "bird": ["animals"],
        "bluesky": ["sky"],
        "building": ["structures"],
        "car": ["transport"],
        "cat": ["animals"],
        "dog": ["animals"],
        "female": ["people"],
        "flower": ["plant_life"],
        "house": ["building"],
        "lake": ["water"],
        "male": ["people"],
        "man": ["male"],
        "pizza": ["food"],
        "river": ["water"],
        "rose": ["plant_life"],
        "sea": ["water"],
        "tiger": ["people"],  # a fierce person first: why people look before they apply
        "tree": ["plant_life"],
        "woman": ["female"],
    }

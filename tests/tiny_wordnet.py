"""A WordNet of a few nouns, in the files and the format of the real one, licence included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by Princeton  \n"
TOPS, ANIMAL, ARTIFACT, FOOD, GROUP, PLACE, OBJECT, PERSON, PLANT = 3, 5, 6, 13, 14, 15, 17, 18, 20

# number, lexicographer file, words, what is above ("@i ..." for a name's), definition
SYNSETS: Sequence[tuple[int, int, str, str, str]] = (
    (1, TOPS, "entity", "", "that which is perceived"),
    (2, TOPS, "organism being", "1", "a living thing"),
    (3, TOPS, "animal beast", "2", "a living organism that moves"),
    (4, TOPS, "person individual", "2", 'a human being; "there was too much for one person"'),
    (5, TOPS, "plant plant_life", "2", "a living organism that does not move"),
    (6, ARTIFACT, "plant works", "7", "buildings for industrial labor"),
    (7, ARTIFACT, "structure construction", "8", "a thing constructed"),
    (8, TOPS, "artifact", "1", "a man-made object"),
    (9, ANIMAL, "canine", "3", "any of various fissiped mammals"),
    (10, ANIMAL, "dog domestic_dog Canis_familiaris", "9 11", "a member of the genus Canis " + "that barks " * 20),
    (11, ANIMAL, "domestic_animal pet", "3", "any of various animals that have been tamed"),
    (12, ANIMAL, "puppy", "10", "a young dog"),
    (13, ANIMAL, "bird", "3", "warm-blooded egg-laying vertebrates"),
    (14, ANIMAL, "turkey gobbler", "13", "large gallinaceous bird"),
    (15, PLACE, "Turkey", "@i 16", "a Eurasian republic"),
    (16, PLACE, "country", "1", "a district"),
    (17, OBJECT, "sky", "1", "the atmosphere and outer space"),
    (18, OBJECT, "blue_sky blue_air", "17", "the sky as viewed during daylight"),
    (19, OBJECT, "bank", "1", "sloping land"),
    (20, ARTIFACT, "depository bank", "7", "where money is kept"),
    (21, ARTIFACT, "savings_bank", "20", "a small one of these"),
    (22, ARTIFACT, "car auto", "23", "a motor vehicle with four wheels"),
    (23, ARTIFACT, "vehicle transport", "8", "a means of transportation"),
    (24, ANIMAL, "goose", "13", "web-footed bird"),
    (25, ANIMAL, "male", "3", "an animal that produces gametes"),
    (26, PERSON, "male male_person", "4", "a person of that sex"),
    (27, PERSON, "man", "26", "an adult person who is male"),
    (28, PERSON, "bunny waitress", "4", "a young waitress"),
    (29, ANIMAL, "bunny rabbit", "3", "a long-eared animal"),
    (30, PLANT, "flower", "5", "a plant cultivated for its blooms"),
    (31, PLANT, "tree", "5", "a tall perennial woody plant"),
    (32, PERSON, "Tree Herbert_Tree", "@i 4", "English actor"),
    (33, ARTIFACT, "glasses spectacles", "8", "optical instrument"),
    (34, ARTIFACT, "glass", "8", "a container for liquids"),
    (35, GROUP, "people", "1", "any group of human beings"),
    (36, GROUP, "men", "1", "the force of workers available"),
    (37, OBJECT, "river", "1", "a large stream"),
    (38, OBJECT, "Danube", "@i 37", "the 2nd longest European river"),
    (39, FOOD, "ox", "1", "meat of two letters"),
    (40, OBJECT, "leaf", "1", "an organ of a plant"),
    (41, OBJECT, "leave", "1", "the period of time one is absent"),
    (42, ARTIFACT, "coop", "7", "a cage for poultry"),
    (43, ARTIFACT, "co-op", "7", "a jointly owned building"),
    (44, ARTIFACT, "t-shirt", "8", "a close-fitting pullover shirt"),
)
# words whose meanings are not just the only one there is: which, the commonest first, and how many were met in texts
ORDER: dict[str, tuple[tuple[int, ...], int]] = {
    "bank": ((19, 20), 2),
    "plant": ((6, 5), 2),
    "male": ((25, 26), 2),
    "bunny": ((28, 29), 0),
    "turkey": ((14, 15), 2),
    "tree": ((31, 16, 32), 1),
}
PLURALS = "geese goose\nleaves leaf leave\ncoops\n"


def write(folder: Path, synsets: Sequence[tuple[int, int, str, str, str]] = SYNSETS, plurals: str = PLURALS) -> Path:
    """Write the files into a folder, which is made, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    senses: dict[str, list[int]] = {}
    data, index = LICENCE, LICENCE
    for number, file, words, above, gloss in synsets:
        written = words.split()
        kind, *places = above.split() if above.startswith("@i") else ("@", *above.split())
        pointers = [f"{kind} {int(place):08} n 0000" for place in places] + [f"~ {number:08} n 0000"]
        facts = [f"{number:08}", f"{file:02}", "n", f"{len(written):02x}", *(f"{word} 0" for word in written)]
        data += f"{' '.join([*facts, f'{len(pointers):03}', *pointers])} | {gloss}  \n"
        for word in written:
            senses.setdefault(word.lower(), []).append(number)
    for word, numbers in sorted(senses.items()):
        order, met = ORDER.get(word, (tuple(numbers), 1))
        index += f"{word} n {len(order)} 2 @ ~ {len(order)} {met} {' '.join(f'{each:08}' for each in order)}  \n"
    (folder / "data.noun").write_text(data, encoding="ascii")
    (folder / "index.noun").write_text(index, encoding="ascii")
    if plurals:
        (folder / "noun.exc").write_text(plurals, encoding="ascii")
    return folder

"""Photos as matrices: tags in the order typed, labels as rows, and the map from labels to tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tagwright_training.prepare import DataInvalid
from tagwright_training.refinement.corpus import (
    CONCEPTS_14,
    CONCEPTS_24,
    TAGS_OF_LABEL,
    Corpus,
    Embedded,
    TagMatrix,
    normalised,
)

LISTS = [["sea", "sky", "sea"], [], ["sky"], ["dog", "sky", "sea"]]
tag_lists = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), max_size=8)


def test_a_tag_matrix_keeps_the_order_typed_and_counts_a_repeated_tag_once() -> None:
    tags = TagMatrix.from_lists(LISTS)
    assert tags.names == ("sky", "sea", "dog")  # on 3, 2 and 1 photos
    assert [tags.typed(row) for row in range(4)] == [("sea", "sky"), (), ("sky",), ("dog", "sky", "sea")]
    assert tags.shape == (4, 3)
    assert tags.counts().tolist() == [3, 2, 1]
    assert tags.rows(0, 4).tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0], [1, 1, 1]]
    assert (tags.column("dog"), tags.column("cat")) == (2, None)
    assert [array.dtype.name for array in (tags.indptr, tags.indices, tags.rows(1, 2))] == ["int64", "int32", "float32"]


def test_a_tag_matrix_can_be_limited_to_common_tags_or_to_given_columns() -> None:
    assert TagMatrix.from_lists(LISTS, min_photos=2).names == ("sky", "sea")
    given_names = TagMatrix.from_lists(LISTS, names=["cat", "dog"])
    assert given_names.counts().tolist() == [0, 1]


@given(tag_lists, st.data())
def test_taking_rows_and_columns_is_what_the_dense_matrix_gives(lists: list[list[str]], data: st.DataObject) -> None:
    tags = TagMatrix.from_lists(lists, names=list("abcdef"))
    dense = tags.rows(0, len(lists))
    rows = data.draw(st.lists(st.sampled_from(range(len(lists))), max_size=10)) if lists else []
    names = data.draw(st.lists(st.sampled_from("abcdefgh"), unique=True))
    taken = tags.take(np.array(rows, np.int64))
    assert np.array_equal(taken.rows(0, len(rows)), dense[np.array(rows, np.int64)])
    assert [taken.typed(place) for place in range(len(rows))] == [tags.typed(row) for row in rows]
    wanted = [[name in lists[row] for name in names] for row in range(len(lists))]
    assert np.array_equal(
        tags.only(names).rows(0, len(lists)), np.array(wanted, np.float32).reshape(len(lists), len(names))
    )


def test_every_label_has_tags_and_no_tag_means_two_labels() -> None:
    tags = [tag for group in TAGS_OF_LABEL.values() for tag in group]
    assert len(tags) == len(set(tags))
    assert len(CONCEPTS_14) == 14
    assert sorted(CONCEPTS_24.values()) == sorted(TAGS_OF_LABEL)
    assert all(tag in TAGS_OF_LABEL[label] for tag, label in CONCEPTS_24.items())
    assert all(CONCEPTS_24[tag] == label for tag, label in CONCEPTS_14.items())


def test_rows_are_normalised_and_a_row_of_zeros_stays() -> None:
    rows = normalised(np.array([[3, 4], [0, 0]], np.float32))
    assert rows.tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0]]
    assert rows.dtype == np.float32


@pytest.mark.parametrize("layout", ["table", "official"])
def test_a_folder_is_read_as_published_and_with_tables(tmp_path: Path, layout: str) -> None:
    home = tmp_path / "mirflickr" if layout == "official" else tmp_path
    home.mkdir(exist_ok=True)
    for photo_id in (1, 2, 5):
        Image.new("RGB", (8, 8), (photo_id, 0, 0)).save(home / f"im{photo_id}.jpg")
    lists = {"sea": "1\n5\n", "sea_r1": "5\n", "sky": "2\n"}
    (tmp_path / "annotations").mkdir()
    for name, ids in lists.items():
        (tmp_path / "annotations" / f"{name}.txt").write_text(ids)
    if layout == "official":
        (home / "meta" / "tags").mkdir(parents=True)
        (home / "meta" / "tags" / "tags1.txt").write_text("beach\nsea\n")
        (home / "meta" / "tags" / "tags5.txt").write_text("sea\n")
    else:
        (home / "user_tags.tsv").write_text("1\tbeach\tsea\n5\tsea\n")

    corpus = Corpus.read(tmp_path, all_test=True)

    assert corpus.ids.tolist() == [1, 2, 5]
    assert [corpus.tags.typed(row) for row in range(3)] == [("beach", "sea"), (), ("sea",)]
    assert (corpus.label_names, corpus.strict_names) == (("sea", "sky"), ("sea",))
    assert corpus.labels.tolist() == [[True, False], [False, True], [True, False]]
    assert corpus.strict.tolist() == [[False], [False], [True]]
    assert corpus.truth({"ocean": "sea"}, strict=True).tolist() == [[False], [False], [True]]
    assert corpus.truth({"sky": "sky", "ocean": "sea"}, strict=False)[1].tolist() == [True, False]
    assert (corpus.part("test").tolist(), corpus.part("train", "calibrate").tolist()) == ([0, 1, 2], [])
    embedded = corpus.embedded(np.array([2, 0]), np.array([[2, 0], [0, 1], [0, 3]], np.float32))
    assert embedded.vectors.tolist() == [[0, 1], [1, 0]]
    assert [embedded.tags.typed(row) for row in range(2)] == [("sea",), ("beach", "sea")]


def test_a_folder_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="holds no"):
        Corpus.read(tmp_path)


def test_what_a_method_sees_holds_no_annotation() -> None:
    assert set(Embedded.__dataclass_fields__) == {"vectors", "tags", "label_scores", "label_names", "authors"}

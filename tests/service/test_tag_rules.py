"""Tags by themselves: lists with counts, and what names mean: renaming, merging, aliases, parents; both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from calls import new_id
from people import CONFIRMED, REJECTED, SHARED, SUGGESTED, Person, administrator, failed, person, unique
from servers import FakeBackend, FakeDecoder, Running, failure_of, running

from tagwright.v1 import auth_service_pb2 as auth
from tagwright.v1 import tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb

COUNT = pb.TAG_ORDER_COUNT


@pytest.fixture(scope="module")
def shared(repository: Path, database_of_module: dict[str, Any]) -> Iterator[Running]:
    """One server for all tests that bring their own people and tags."""
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), **database_of_module) as serving:
        yield serving


@pytest.fixture
def own(shared: Running) -> Person:
    """Somebody on the server that tests share."""
    return person(shared)


@pytest.fixture
def ann(stored: Running) -> Person:
    return person(stored)


@pytest.fixture
def admin(stored: Running) -> Person:
    return administrator(stored)


def listed(who: Person, **more: Any) -> list[tuple[str, int, int]]:
    """The tags with their counts."""
    return [(tag.name, tag.image_count, tag.confirmed_count) for tag in who.ListTags(pb.ListTagsRequest(**more)).tags]


def rename(who: Person, name: str, new_name: str, **more: Any) -> tag_pb2.TagEntry:
    answer: pb.RenameTagResponse = who.RenameTag(pb.RenameTagRequest(name=name, new_name=new_name, **more))
    return answer.tag


def merge(who: Person, sources: list[str], target: str) -> tag_pb2.TagEntry:
    answer: pb.MergeTagsResponse = who.MergeTags(pb.MergeTagsRequest(sources=sources, target=target))
    return answer.tag


def rules(who: Person, name: str, **more: Any) -> tag_pb2.TagEntry:
    answer: pb.SetTagRulesResponse = who.SetTagRules(pb.SetTagRulesRequest(name=name, **more))
    return answer.tag


def test_tags_are_listed_with_how_many_photos_have_them(ann: Person) -> None:
    first, second = (ann.store(unique(20), *tags).image_id for tags in (("b", "a"), ("b", "c", "d")))
    ann.review(first, confirm=["b"], add=["e"])
    ann.review(second, reject=["d"])
    assert listed(ann) == listed(ann, order=pb.TAG_ORDER_NAME) == [("a", 1, 0), ("b", 2, 1), ("c", 1, 0), ("e", 1, 1)]
    assert listed(ann, order=COUNT) == [("b", 2, 1), ("a", 1, 0), ("c", 1, 0), ("e", 1, 1)]
    ann.delete(first)
    assert listed(ann) == [("b", 1, 0), ("c", 1, 0)]


@pytest.mark.parametrize("order", [pb.TAG_ORDER_NAME, COUNT])
def test_private_photos_of_others_give_neither_names_nor_counts(
    stored: Running, ann: Person, admin: Person, order: pb.TagOrder.ValueType
) -> None:
    bob = person(stored)
    ann.store(unique(20), "secret", "both")
    shown = ann.store(unique(20), "shared", "both", visibility=SHARED).image_id
    bob.store(unique(20), "both")
    assert sorted(listed(bob, order=order)) == [("both", 2, 0), ("shared", 1, 0)]
    assert sorted(listed(ann, order=order)) == [("both", 2, 0), ("secret", 1, 0), ("shared", 1, 0)]
    assert sorted(listed(admin, order=order)) == [("both", 3, 0), ("secret", 1, 0), ("shared", 1, 0)]
    assert listed(bob, prefix="sec", order=order) == []
    ann.delete(shown)
    assert listed(bob, order=order) == [("both", 1, 0)]


def test_a_prefix_is_taken_literally_and_as_tags_are_written(ann: Person) -> None:
    odd = ("%", "%a", "_", "_a", "a", "a%b", "axb", "<script>", "'; drop table tag", "\\", "🐕", "שלום")
    ann.store(unique(20), *odd)
    assert {name for name, *_ in listed(ann)} == set(odd)
    for prefix, names in {
        "%": ["%", "%a"],
        "_": ["_", "_a"],
        "A": ["a", "a%b", "axb"],
        "a%": ["a%b"],
        " a_ ": [],
        "'; DROP": ["'; drop table tag"],
        "\\": ["\\"],
        "<scr": ["<script>"],
        "🐕": ["🐕"],
        "של": ["שלום"],
    }.items():
        for order in (pb.TAG_ORDER_NAME, COUNT):
            assert [name for name, *_ in listed(ann, prefix=prefix, order=order)] == names, prefix


@pytest.mark.parametrize("order", [pb.TAG_ORDER_NAME, COUNT])
def test_tags_come_in_pages(ann: Person, order: pb.TagOrder.ValueType) -> None:
    names = [f"tag {number}" for number in range(7)]
    ann.store(unique(20), *names)
    seen, token = [], ""
    while True:
        page = ann.ListTags(pb.ListTagsRequest(prefix="tag", order=order, page_size=3, page_token=token))
        seen += [tag.name for tag in page.tags]
        if not (token := page.next_page_token):
            break
        other = pb.ListTagsRequest(prefix="ta", order=order, page_token=token)
        assert failure_of(ann.ListTags, other).wrong_fields == ["page_token"]
    assert seen == names


def test_a_renamed_tag_has_its_new_name_on_all_photos_and_the_old_one_means_it(
    stored: Running, ann: Person, admin: Person
) -> None:
    bob = person(stored)
    photos = [who.store(unique(20), "Collie").image_id for who in (ann, bob)]
    ann.review(photos[0], confirm=["collie"])
    entry = rename(admin, "COLLIE", "Border Collie")
    assert (entry.name, list(entry.aliases), entry.image_count, entry.confirmed_count) == (
        "border collie",
        ["collie"],
        2,
        1,
    )
    assert ann.states(photos[0]) == {"border collie": CONFIRMED}
    assert bob.states(photos[1]) == {"border collie": SUGGESTED}
    assert ann.ids(tag="collie") == ann.ids(tag="border collie") == [photos[0]]
    assert ann.states(ann.store(unique(20), "collie", "border collie").image_id) == {"border collie": SUGGESTED}
    ann.review(photos[0], reject=["collie"])
    assert ann.states(photos[0]) == {"border collie": REJECTED}
    assert rename(admin, "collie", "sheepdog").aliases == ["border collie", "collie"]
    assert rename(admin, "sheepdog", "collie").aliases == ["border collie", "sheepdog"]


def test_a_label_that_was_renamed_or_merged_is_stored_under_the_new_name(
    stored: Running, ann: Person, admin: Person
) -> None:
    image_id = ann.store(unique()).image_id
    rename(admin, "dog", "hound")
    assert merge(admin, ["flower"], "sky").aliases == ["flower"]
    expected = dict.fromkeys(("animals", "hound", "people", "sky"), SUGGESTED)
    assert ann.states(image_id) == ann.states(ann.store(unique()).image_id) == expected
    ann.review(image_id, reject=["dog"])
    again = ann.store(unique(), "Dog", "flower")
    assert {tag.name for tag in again.tags} == set(expected)


def test_a_name_that_is_in_use_is_not_given_a_second_time(ann: Person, admin: Person) -> None:
    image_id = ann.store(unique(20), "a", "b").image_id
    rules(admin, "c", aliases=["d"])
    for new_name in ("b", "c", "D"):
        failure = failed(rename, admin, "a", new_name)
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "NAME_TAKEN")
    assert set(ann.states(image_id)) == {"a", "b"}
    assert rename(admin, "a", " A ").name == "a"


def test_of_merged_tags_what_a_person_decided_wins(ann: Person, admin: Person) -> None:
    def photo(**said: Any) -> str:
        image_id = ann.store(unique(20), "dog", "hound", "perro").image_id
        if said:
            ann.review(image_id, **said)
        return image_id

    undecided, one, rival = photo(), photo(reject=["hound"]), photo(confirm=["dog"], reject=["hound"])
    alone = ann.store(unique(20), "perro").image_id
    entry = merge(admin, ["hound", "perro"], "dog")
    assert (entry.name, list(entry.aliases), entry.image_count, entry.confirmed_count) == (
        "dog",
        ["hound", "perro"],
        3,
        1,
    )
    assert [ann.states(each) for each in (undecided, one, rival, alone)] == [
        {"dog": SUGGESTED},
        {"dog": REJECTED},
        {"dog": CONFIRMED},
        {"dog": SUGGESTED},
    ]
    assert listed(ann) == [("dog", 3, 1)]


def test_rules_are_replaced_as_a_whole_and_seen_by_all(ann: Person, admin: Person) -> None:
    entry = rules(admin, "Collie", aliases=["Lassie", "b", "lassie"], parents=["dog", "Animals"])
    assert (entry.name, list(entry.aliases), list(entry.parents)) == ("collie", ["b", "lassie"], ["animals", "dog"])
    assert [tag for tag in ann.ListTags(pb.ListTagsRequest()).tags if tag.name == "collie"] == [entry]
    assert ann.states(ann.store(unique(20), "lassie").image_id) == {"collie": SUGGESTED}
    entry = rules(admin, "lassie", parents=["dog"], aliases=["b"])
    assert (entry.name, list(entry.aliases), list(entry.parents)) == ("collie", ["b"], ["dog"])
    entry = rules(admin, "collie")
    assert (list(entry.aliases), list(entry.parents), entry.image_count) == ([], [], 1)


def test_no_tag_is_its_own_ancestor(ann: Person, admin: Person) -> None:
    ann.store(unique(20), "animals")
    rules(admin, "collie", parents=["dog"])
    rules(admin, "dog", parents=["animals"])
    for name, parents in (("animals", ["collie"]), ("animals", ["dog"]), ("dog", ["dog"])):
        failure = failed(rules, admin, name, parents=parents)
        assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["parents"])
    failure = failed(merge, admin, ["animals"], "collie")
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["sources"])
    above = {tag.name: list(tag.parents) for tag in admin.ListTags(pb.ListTagsRequest()).tags}
    assert above == {"animals": [], "collie": ["dog"], "dog": ["animals"]}


def test_a_tag_of_photos_and_an_alias_of_another_tag_become_no_alias(ann: Person, admin: Person) -> None:
    image_id = ann.store(unique(20), "hound").image_id
    rules(admin, "cat", aliases=["kitty"])
    for alias in ("hound", "kitty", "cat"):
        failure = failed(rules, admin, "dog", aliases=[alias])
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "NAME_TAKEN")
    assert failed(rules, admin, "dog", aliases=["a", "Dog"]).wrong_fields == ["aliases"]
    assert failed(rules, admin, "kitty", aliases=["cat"]).wrong_fields == ["aliases"]
    assert set(ann.states(image_id)) == {"hound"}


def test_a_tag_that_there_is_not_cannot_be_renamed_or_merged(ann: Person, admin: Person) -> None:
    ann.store(unique(20), "dog")
    for call in (
        lambda: rename(admin, "never", "heard"),
        lambda: merge(admin, ["never"], "dog"),
        lambda: merge(admin, ["dog"], "never"),
    ):
        failure = failed(call)
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert listed(ann) == [("dog", 1, 0)]


def test_a_change_of_rules_that_is_sent_again_is_done_once(ann: Person, admin: Person) -> None:
    ann.store(unique(20), "dog")
    id = new_id()
    first = rename(admin, "dog", "hound", request_id=id)
    rename(admin, "hound", "dog")
    assert rename(admin, "dog", "hound", request_id=id) == first
    assert listed(ann) == [("dog", 1, 0)]


def test_changes_of_rules_are_in_the_audit_log_and_refused_ones_are_not(
    stored: Running, ann: Person, admin: Person
) -> None:
    ann.store(unique(20), "a", "b", "c")
    rename(admin, "a", "z")
    merge(admin, ["b", "c"], "z")
    rules(admin, "z", parents=["letter"])
    failed(rename, admin, "never", "heard")
    failed(rename, ann, "z", "mine")
    events = stored.auth.ListAuditEvents(auth.ListAuditEventsRequest(action="tag.")).events
    assert [(event.actor, event.action, event.target, dict(event.details)) for event in events] == [
        ("admin", "tag.rules", "z", {"aliases": "", "parents": "letter"}),
        ("admin", "tag.merge", "z", {"sources": "b, c"}),
        ("admin", "tag.rename", "a", {"new_name": "z"}),
    ]
    assert listed(ann) == [("z", 1, 0)]


BAD_NAMES = ["", " ", "x" * 129, "x" * 10_000, "do\0g", "do\x1bg", "\u202edog"]


@pytest.mark.parametrize("bad", BAD_NAMES, ids=ascii)
def test_a_name_that_can_be_no_tag_is_refused_by_field(shared: Running, bad: str) -> None:
    calls: list[tuple[str, Any, str]] = [
        ("RenameTag", pb.RenameTagRequest(name=bad, new_name="x"), "name"),
        ("RenameTag", pb.RenameTagRequest(name="x", new_name=bad), "new_name"),
        ("MergeTags", pb.MergeTagsRequest(sources=["x", bad], target="y"), "sources[1]"),
        ("MergeTags", pb.MergeTagsRequest(sources=["x"], target=bad), "target"),
        ("SetTagRules", pb.SetTagRulesRequest(name=bad), "name"),
        ("SetTagRules", pb.SetTagRulesRequest(name="x", aliases=[bad]), "aliases[0]"),
        ("SetTagRules", pb.SetTagRulesRequest(name="x", parents=["y", bad]), "parents[1]"),
    ]
    if bad.strip():
        calls.append(("ListTags", pb.ListTagsRequest(prefix=bad), "prefix"))
    for name, request, field in calls:
        failure = failure_of(getattr(shared.tagging, name), request)
        assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


@pytest.mark.parametrize(
    ("call", "request_", "field"),
    [
        ("MergeTags", pb.MergeTagsRequest(target="x"), "sources"),
        ("MergeTags", pb.MergeTagsRequest(sources=["X "], target="x"), "sources"),
        ("MergeTags", pb.MergeTagsRequest(sources=map(str, range(101)), target="x"), "sources"),
        ("SetTagRules", pb.SetTagRulesRequest(name="x", aliases=map(str, range(101))), "aliases"),
        ("SetTagRules", pb.SetTagRulesRequest(name="x", parents=map(str, range(33))), "parents"),
        ("RenameTag", pb.RenameTagRequest(name="x", new_name="y", request_id="no"), "request_id"),
        ("ListTags", pb.ListTagsRequest(page_size=-1), "page_size"),
        ("ListTags", pb.ListTagsRequest(page_token="forged"), "page_token"),
        ("ListTags", pb.ListTagsRequest(order=3), "order"),  # type: ignore[arg-type]
        ("ListTags", pb.ListTagsRequest(order=-1), "order"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_is_named(shared: Running, own: Person, call: str, request_: Any, field: str) -> None:
    own.store(unique(20), "x")
    failure = failure_of(getattr(shared.tagging, call), request_)
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])

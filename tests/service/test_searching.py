"""Searching by tags and by look, through a real server, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from calls import new_id
from numpy.typing import NDArray
from people import SHARED, Ends, Eye, Person, administrator, failed, person, unique
from servers import SERVING, FakeDecoder, Running, failure_of, running
from uploads import upload

from tagwright.v1 import image_pb2, search_pb2
from tagwright.v1 import search_service_pb2 as pb
from tagwright.v1 import tagging_service_pb2 as tagging
from tagwright_server.inference.backend import Prediction
from tagwright_server.inference.bundle import Bundle

RELEVANCE, DIVERSE, NEWEST = search_pb2.RANKING_RELEVANCE, search_pb2.RANKING_DIVERSE, search_pb2.RANKING_NEWEST
INVALID, DENIED, MISSING = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
)
NO_SUCH = "0" * 32


class Looking(Eye):
    """The same, but photos of different numbers do not look the same."""

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        seen = super().infer(model, pixels, timeout_s=timeout_s)
        seen.embedding[:, 1] = pixels[:, 0, 0, 0] / 100
        return seen


@pytest.fixture(scope="module")
def eye() -> Looking:
    return Looking()


@pytest.fixture(scope="module")
def shared(repository: Path, database_of_module: dict[str, Any], eye: Looking) -> Iterator[Running]:
    """One server for all tests that bring their own people."""
    with running(repository, backend=eye, decoder=FakeDecoder(), **database_of_module) as serving:
        yield serving


@pytest.fixture
def ann(shared: Running) -> Person:
    return person(shared)


@pytest.fixture
def bob(shared: Running) -> Person:
    return person(shared)


def search(who: Person, query: str = "", **said: Any) -> pb.SearchImagesResponse:
    answer: pb.SearchImagesResponse = who.SearchImages(pb.SearchImagesRequest(query=query, **said))
    return answer


def ids(answer: pb.SearchImagesResponse) -> list[str]:
    return [result.image.id for result in answer.results]


def found(who: Person, query: str) -> set[str]:
    return set(ids(search(who, query)))


def a_tag() -> str:
    """A tag that no other test has."""
    return f"t{new_id().replace('-', '')}"


def test_a_photo_is_found_by_its_tag_at_once(ann: Person) -> None:
    first = ann.store(unique(), "ginger cat").image_id
    assert ids(search(ann, '"ginger cat"')) == [first]
    second = ann.store(unique(), "other", "ginger cat").image_id
    answer = search(ann, '"Ginger  CAT"', include_facets=True, include_evidence=True, include_tags=True)
    assert ids(answer) == [first, second]  # its owner typed it first
    assert answer.total_count == 2
    assert answer.understood_query == '"ginger cat"'
    assert not answer.model_version
    facets = {facet.tag: facet.count for facet in answer.facets}
    assert facets["other"] == 1
    assert "ginger cat" not in facets
    for result in answer.results:
        [match] = result.matches
        assert (match.query_tag, match.tag.name, match.score) == ("ginger cat", "ginger cat", result.score)
        assert match.why
        assert match.tag.evidence
        assert {tag.name for tag in result.image.tags} >= {"ginger cat"}
    plain = search(ann, '"ginger cat"')
    assert not plain.facets
    assert not any(result.image.tags or result.matches[0].tag.evidence for result in plain.results)


def test_whatever_changes_a_photo_changes_what_is_found_before_it_is_acknowledged(ann: Person) -> None:
    tag, other = a_tag(), a_tag()
    for _ in range(10):
        image_id = ann.store(unique(), tag).image_id
        assert found(ann, tag) == {image_id}
        ann.review(image_id, confirm=[tag])
        assert found(ann, f"{tag}:confirmed") == {image_id}
        assert not found(ann, f"{tag}:suggested")
        [result] = search(ann, tag).results
        assert result.score == 1.0
        ann.review(image_id, reject=[tag], add=[other])
        assert not found(ann, tag)
        assert found(ann, f"{other} & {tag}:rejected") == {image_id}
        ann.delete(image_id)
        for query in (tag, other, f"{tag}:rejected", f"owner:{ann.name}", f"!{tag} owner:{ann.name}"):
            assert search(ann, query).total_count == 0


def test_uploaded_photos_are_found_when_their_results_are_there(shared: Running, ann: Person) -> None:
    tag = a_tag()
    metadata = (("authorization", f"Bearer {ann.token}"),)
    results = upload(shared.stranger, [unique() for _ in range(20)], metadata=metadata, said={"user_tags": [tag]})
    there = {result.tags.image_id for result in results.values()}
    assert found(ann, tag) == there
    assert len(there) == 20


def test_photos_that_are_tagged_anew_are_found_by_what_they_got(shared: Running, eye: Looking, ann: Person) -> None:
    ends, image_id = Ends(shared.app), ann.store(unique(10)).image_id
    [label, *_] = [tag.name for tag in ann.get(ann.store(unique(90)).image_id).tags]
    assert image_id not in found(ann, f'"{label}"')
    with eye.saying(**{label: 0.99}):
        wanted = image_pb2.ImageFilter(owner=ann.name)
        request = tagging.RetagImagesRequest(filter=wanted, request_id=new_id())
        ends.wait(shared.tagging.RetagImages(request).operation.id)
    assert image_id in found(ann, f'"{label}"')


def test_nobody_finds_what_another_keeps_to_themselves(shared: Running, ann: Person, bob: Person) -> None:
    tag, secret = a_tag(), a_tag()
    hidden = ann.store(unique(), tag, secret).image_id
    shown = ann.store(unique(), tag, visibility=SHARED).image_id
    boss = administrator(shared)
    assert found(ann, tag) == found(boss, tag) == {hidden, shown}
    for ranking in (RELEVANCE, DIVERSE, NEWEST):
        answer = search(bob, f"{tag} | {secret} | owner:{ann.name}", ranking=ranking, include_facets=True)
        assert (ids(answer), answer.total_count) == ([shown], 1)
        assert secret not in {facet.tag for facet in answer.facets}
    assert not answer.results[0].image.source_sha256
    assert not bob.SuggestTags(pb.SuggestTagsRequest(prefix=secret)).suggestions
    [suggestion] = bob.SuggestTags(pb.SuggestTagsRequest(prefix=tag)).suggestions
    assert (suggestion.name, suggestion.image_count) == (tag, 1)
    assert failed(bob.RelatedTags, pb.RelatedTagsRequest(tag=secret)).code == MISSING
    assert secret not in {each.name for each in bob.RelatedTags(pb.RelatedTagsRequest(tag=tag)).related}
    assert secret in {each.name for each in ann.RelatedTags(pb.RelatedTagsRequest(tag=tag)).related}
    assert failed(bob.FindSimilar, pb.FindSimilarRequest(image_id=hidden)).code == MISSING
    assert failed(search, bob, example_image_id=hidden).code == MISSING
    assert hidden not in {each.image.id for each in similar(bob, shown).images}
    ann.UpdateImage(tagging.UpdateImageRequest(image_id=hidden, visibility=SHARED, request_id=new_id()))
    assert found(bob, secret) == {hidden}


def test_photos_that_are_equally_alike_are_each_on_one_page(ann: Person) -> None:
    first, *others = [ann.store(b"50#%d" % number).image_id for number in range(7)]
    for size in (1, 2, 3):
        alike: list[str] = []
        page = similar(ann, first, page_size=size)
        alike += [each.image.id for each in page.images]
        while page.next_page_token:
            page = similar(ann, first, page_size=size, page_token=page.next_page_token)
            alike += [each.image.id for each in page.images]
        found: list[str] = []
        answer = search(ann, f"owner:{ann.name}", page_size=size, example_image_id=first)
        found += ids(answer)
        while answer.next_page_token:
            more = {"page_size": size, "page_token": answer.next_page_token}
            answer = search(ann, f"owner:{ann.name}", example_image_id=first, **more)
            found += ids(answer)
        assert set(others) <= set(alike)
        assert sorted(found) == sorted(others)


def similar(who: Person, image_id: str, **said: Any) -> pb.FindSimilarResponse:
    answer: pb.FindSimilarResponse = who.FindSimilar(pb.FindSimilarRequest(image_id=image_id, **said))
    return answer


def test_photos_are_found_by_their_look(ann: Person) -> None:
    near, same, far = (ann.store(unique(score)).image_id for score in (60, 50, 0))
    its_own = ann.store(unique(50)).image_id
    answer = search(ann, f"owner:{ann.name}", example_image_id=its_own)
    assert ids(answer) == [same, near, far]
    assert [result.score for result in answer.results] == sorted((each.score for each in answer.results), reverse=True)
    assert answer.model_version == "tagger@1"
    assert ids(search(ann, f"owner:{ann.name}", example_image=b"50")) == [its_own, same, near, far]
    alike = similar(ann, its_own, page_size=500)
    own = [each for each in alike.images if each.image.owner == ann.name]
    assert [each.image.id for each in own] == [same, near, far]
    assert [each.near_duplicate for each in own] == [True, False, False]
    assert alike.model_version == "tagger@1"


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("dog &", 5),
        ("(" * 17 + "dog", 16),
        ("!" * 4096, 4096),
        ("(" * 4096, 16),
        ("x" * 5000, 4096),
        (" ".join("t" * 65), 128),
        ("dog \u202ecat", 4),
        ("do\0g", 0),
        ("date:2024-13", 5),
        ("🐕 🐕:", 4),
    ],
)
def test_a_query_that_cannot_be_read_is_refused_with_its_place(ann: Person, query: str, position: int) -> None:
    failure = failed(search, ann, query)
    assert (failure.code, failure.info.reason, failure.wrong_fields) == (INVALID, "ARGUMENT_INVALID", ["query"])
    assert failure.info.metadata["position"] == str(position)
    assert failure.info.metadata["expected"]
    assert failure.text.isprintable()


@pytest.mark.parametrize(
    "query",
    [
        "'; DROP TABLE tag; --",
        '"%" | "_" | "\\\\"',
        'owner:"\0" | author:"\0"',
        'owner:"%" | author:"_"',
        '"🐕" كلب "👩\u200d🚀"',
        "!" * 4000 + "dog",
        "date:0001..9999 | taken:<0001 | stored:>9999",
        "size:999999999.. & size:..0",
        " | ".join(f'"{word}"' for word in ("and", "or", "not", "untagged", "owner", "size")),
        " ".join(["dog"] * 62),
    ],
)
def test_a_hostile_query_finds_nothing_and_harms_nothing(ann: Person, query: str) -> None:
    kept = ann.store(unique(), a_tag()).image_id
    for ranking in (RELEVANCE, DIVERSE):
        search(ann, query, ranking=ranking, include_facets=True)
        assert not found(ann, f"owner:{ann.name} & ({query}) & untagged")
    assert found(ann, f"owner:{ann.name}") == {kept}


def test_what_else_is_asked_wrongly_is_refused(ann: Person) -> None:
    mine = ann.store(unique()).image_id
    for field, said in (
        ("page_size", {"page_size": -1}),
        ("max_facets", {"max_facets": -1}),
        ("page_token", {"page_token": "made up"}),
        ("ranking", {"ranking": 99}),
        ("ranking", {"ranking": NEWEST, "example_image_id": mine}),
        ("ranking", {"ranking": NEWEST, "example_image": b"50"}),
    ):
        failure = failed(search, ann, **said)
        assert (failure.code, failure.wrong_fields) == (INVALID, [field]), said
    assert failed(search, ann, example_image_id=NO_SUCH).code == MISSING
    assert failed(search, ann, example_image_id="").code == MISSING
    for image in (b"", b"no photo"):
        failure = failed(search, ann, example_image=image)
        assert (failure.code, failure.info.reason) == (INVALID, "IMAGE_REJECTED")
    assert failed(ann.SuggestTags, pb.SuggestTagsRequest(max_suggestions=-1)).wrong_fields == ["max_suggestions"]
    assert failed(ann.RelatedTags, pb.RelatedTagsRequest(tag="dog", max_tags=-1)).wrong_fields == ["max_tags"]
    assert failed(ann.RelatedTags, pb.RelatedTagsRequest()).wrong_fields == ["tag"]
    assert failed(ann.FindSimilar, pb.FindSimilarRequest(image_id=mine, page_size=-1)).wrong_fields == ["page_size"]
    assert failed(ann.FindSimilar, pb.FindSimilarRequest(image_id=NO_SUCH)).code == MISSING


def test_a_token_is_of_one_search_of_one_caller(ann: Person, bob: Person) -> None:
    tag = a_tag()
    images = [ann.store(unique(), tag, visibility=SHARED).image_id for _ in range(5)]
    page = search(ann, tag, page_size=2)
    rest = search(ann, tag, page_size=500, page_token=page.next_page_token)
    assert ids(page) + ids(rest) == images[::-1]
    assert not rest.next_page_token
    token = page.next_page_token
    for who, query, said in (
        (bob, tag, {}),
        (ann, f"{tag} ", {}),
        (ann, f"!{tag}", {}),
        (ann, tag, {"ranking": DIVERSE}),
        (ann, tag, {"ranking": NEWEST}),
        (ann, tag, {"example_image": b"50"}),
        (ann, tag, {"example_image_id": images[0]}),
    ):
        failure = failed(search, who, query, page_size=2, page_token=token, **said)
        assert (failure.code, failure.wrong_fields) == (INVALID, ["page_token"])
    by_look = search(ann, tag, page_size=2, example_image_id=images[0]).next_page_token
    assert failed(search, ann, tag, example_image_id=images[1], page_token=by_look).wrong_fields == ["page_token"]
    alike = similar(ann, images[0], page_size=1).next_page_token
    assert failed(similar, ann, images[1], page_token=alike).wrong_fields == ["page_token"]
    assert failed(similar, bob, images[0], page_token=alike).wrong_fields == ["page_token"]


def test_a_varied_result_puts_photos_that_look_the_same_behind_one(ann: Person) -> None:
    tag = a_tag()
    images = {score: [ann.store(unique(score), tag).image_id for _ in range(3)] for score in (0, 20, 85)}
    answer = search(ann, tag, ranking=DIVERSE)
    assert (len(answer.results), answer.total_count) == (3, 9)
    groups = [{result.image.id, *result.collapsed_ids} for result in answer.results]
    assert sorted(map(sorted, groups)) == sorted(map(sorted, images.values()))


def test_aliases_and_parents_count_at_once(shared: Running, ann: Person) -> None:
    dog, poodle, hound = a_tag(), a_tag(), a_tag()
    image_id = ann.store(unique(), poodle).image_id
    assert not found(ann, dog)
    rules: list[tuple[str, dict[str, Any]]] = [(dog, {"aliases": [hound]}), (poodle, {"parents": [dog]})]
    for name, said in rules:
        shared.tagging.SetTagRules(tagging.SetTagRulesRequest(name=name, request_id=new_id(), **said))
    answer = search(ann, hound)
    assert ids(answer) == [image_id]
    assert answer.understood_query == dog
    [match] = answer.results[0].matches
    assert (match.query_tag, match.tag.name) == (dog, poodle)
    assert "kind of" in match.why
    assert not found(ann, f"!{hound} & owner:{ann.name}")


def test_only_a_key_for_searching_searches(ann: Person) -> None:
    image_id = ann.store(unique(), a_tag()).image_id
    searcher, tagger = ann.with_key("search"), ann.with_key("tagging:read", "tagging:write")
    assert image_id in ids(search(searcher, f"owner:{ann.name}"))
    for call, request in (
        ("SearchImages", pb.SearchImagesRequest()),
        ("SuggestTags", pb.SuggestTagsRequest()),
        ("RelatedTags", pb.RelatedTagsRequest(tag="dog")),
        ("FindSimilar", pb.FindSimilarRequest(image_id=image_id)),
    ):
        failure = failure_of(lambda timeout, call=call, request=request: getattr(tagger, call)(request))
        assert (failure.code, failure.info.reason) == (DENIED, "SCOPE_MISSING")
        assert failed(searcher.GetImage, tagging.GetImageRequest(image_id=image_id)).code == DENIED


def test_searching_says_that_it_serves(shared: Running) -> None:
    assert shared.health("tagwright.v1.SearchService") == SERVING

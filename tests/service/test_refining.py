"""Refining the tags of photos, sent and stored: who votes, and what is said; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from people import SHARED, Person, administrator, failed, person, unique
from refiners import DOG, SKY, STARTER, LookingEye
from refining import ADD, KEEP, REMOVE, SHORT, UNSURE, evidence, refine, said
from servers import FakeDecoder, Running, running

from tagwright.v1 import tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions


@pytest.fixture(scope="module")
def shared(with_refiner: Path, database_of_module: dict[str, Any]) -> Iterator[Running]:
    """One server for all tests that bring their own people."""
    with running(with_refiner, backend=LookingEye(), decoder=FakeDecoder(), **database_of_module) as serving:
        yield serving


@pytest.fixture
def ann(shared: Running) -> Person:
    return person(shared)


@pytest.fixture
def bob(shared: Running) -> Person:
    return person(shared)


def test_a_photo_that_is_sent_is_judged_by_the_starter_library(ann: Person) -> None:
    answer = refine(ann, "beach", "collie", "nikon", image=unique(SKY))
    assert said(answer) == {"beach": KEEP, "collie": REMOVE, "nikon": UNSURE}
    assert said(refine(ann, image=unique(SKY))) == {"beach": ADD}
    assert (answer.model_version, answer.library_size, list(answer.embedding)) == ("tagger@1", STARTER, [])
    assert not answer.decisions[2].HasField("score")
    assert ann.own() == []


def test_the_embedding_comes_where_it_is_asked_for(ann: Person) -> None:
    answer = refine(ann, image=unique(SKY), options=TaggingOptions(include_embedding=True))
    assert sum(number**2 for number in answer.embedding) == pytest.approx(1.0, abs=1e-5)


def test_the_trailing_metadata_says_what_refining_took(ann: Person) -> None:
    request = pb.RefineTagsRequest(image=unique(SKY), user_tags=["beach"])
    done = ann.server.tagging.RefineTags.with_call(request, timeout=10)[1]
    assert float(dict(done.trailing_metadata())["tagwright-refinement-ms"]) > 0


def test_a_photo_that_is_kept_is_judged_by_the_tags_that_people_gave_it(ann: Person) -> None:
    image_id = ann.store(unique(DOG), "collie", "beach").image_id
    assert said(refine(ann, image_id=image_id)) == {"collie": KEEP, "beach": REMOVE}
    assert said(refine(ann, "moon", image_id=image_id)) == {"moon": UNSURE, "collie": ADD}


def test_a_private_photo_of_somebody_else_does_not_exist(ann: Person, bob: Person) -> None:
    image_id = ann.store(unique(DOG), "collie").image_id
    why = failed(bob.RefineTags, pb.RefineTagsRequest(image_id=image_id))
    assert (why.code, why.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert said(refine(administrator(ann.server), image_id=image_id)) == {"collie": KEEP}
    shared_id = ann.store(unique(DOG), "collie", visibility=SHARED).image_id
    assert said(refine(bob, image_id=shared_id)) == {"collie": KEEP}


def test_new_photos_vote_at_once_and_deleted_ones_no_more(ann: Person) -> None:
    score = 47
    assert "cat" not in said(refine(ann, image=unique(score)))
    ids = [ann.store(unique(score), "cat").image_id for _ in range(14)]
    answer = refine(ann, image=unique(score))
    assert said(answer)["cat"] == ADD
    assert answer.library_size >= STARTER + 14
    voters = evidence(answer, "cat", tag_pb2.EVIDENCE_KIND_NEIGHBOURS).image_ids
    assert len(voters) == 14
    assert set(voters) == set(ids)
    for image_id in ids[1:]:
        ann.delete(image_id)
    assert "cat" not in said(refine(ann, image=unique(score)))


def test_private_photos_vote_for_nobody_but_those_who_may_see_them(ann: Person, bob: Person) -> None:
    score = 60
    mine = [ann.store(unique(score), "kitten").image_id for _ in range(14)]
    assert said(refine(ann, image=unique(score)))["kitten"] == ADD
    [told] = refine(bob, "kitten", image=unique(score)).decisions[:1]
    assert (told.name, told.decision, told.HasField("score")) == ("kitten", UNSURE, False)
    [reason] = told.evidence
    assert reason.kind == tag_pb2.EVIDENCE_KIND_NOT_VISIBLE
    nobody = refine(bob, "qwertyuiop", image=unique(score)).decisions[0].evidence[0]
    assert (reason.text, reason.value) == (nobody.text, nobody.value)  # not even that there is such a tag
    assert "kitten" not in said(refine(bob, image=unique(score)))
    for image_id in mine:
        ann.UpdateImage(pb.UpdateImageRequest(image_id=image_id, visibility=SHARED))
    assert said(refine(bob, image=unique(score)))["kitten"] == ADD


def test_a_shared_photo_gets_no_name_from_its_owners_private_ones(ann: Person, bob: Person) -> None:
    score = 36
    for _ in range(14):
        ann.store(unique(score), "owl")
    private = ann.store(unique(score), "beach", options=SHORT)
    shared = ann.store(unique(score), "beach", options=SHORT, visibility=SHARED)
    assert said(private)["owl"] == ADD
    assert "owl" not in said(shared)
    assert "owl" not in {tag.name for tag in bob.get(shared.image_id).tags}


def test_an_authors_photos_do_not_crowd_out_those_of_others(alone: Person) -> None:
    near, far = 54, 53
    for _ in range(30):
        alone.store(unique(near), "rock", author="Ada")
    for at in range(12):
        alone.store(unique(far), "cat", author=f"author {at}")
    answer = refine(alone, "cat", image=unique(near))
    assert len(evidence(answer, "cat", tag_pb2.EVIDENCE_KIND_NEIGHBOURS).image_ids) == 12


def test_tags_that_become_frequent_and_rare_again_do_no_harm(alone: Person) -> None:
    first = [alone.store(unique(15), "rock", "grandma").image_id for _ in range(9)]
    alone.store(unique(15), "grandma")
    refine(alone, "grandma", "rock", image=unique(15))
    for image_id in first:
        alone.delete(image_id)
        assert said(refine(alone, "grandma", "rock", image=unique(15))).keys() >= {"grandma", "rock"}


def test_a_photo_does_not_vote_for_its_own_tags(ann: Person) -> None:
    image_id = ann.store(unique(SKY), "beach").image_id
    voters = evidence(refine(ann, image_id=image_id), "beach", tag_pb2.EVIDENCE_KIND_NEIGHBOURS).image_ids
    assert image_id not in voters


def test_a_rejected_tag_is_never_added_and_a_confirmed_one_never_removed(ann: Person) -> None:
    image_id = ann.store(unique(SKY), "collie").image_id
    ann.review(image_id, confirm=["collie"], reject=["beach"])
    answer = refine(ann, image_id=image_id)
    assert said(answer) == {"collie": KEEP}
    assert answer.decisions[0].evidence[0].kind == tag_pb2.EVIDENCE_KIND_REVIEW


def test_an_alias_is_judged_as_the_tag_that_it_means(ann: Person) -> None:
    admin = administrator(ann.server)
    admin.SetTagRules(pb.SetTagRulesRequest(name="collie", aliases=["lassie"]))
    assert said(refine(ann, "lassie", "collie", image=unique(DOG))) == {"collie": KEEP}


def test_a_parent_by_rule_comes_with_what_a_person_confirmed(ann: Person) -> None:
    administrator(ann.server).SetTagRules(pb.SetTagRulesRequest(name="rock", parents=["stone"]))
    image_id = ann.store(unique(SKY), "rock").image_id
    assert "stone" not in said(refine(ann, image_id=image_id))
    ann.review(image_id, confirm=["rock"])
    answer = refine(ann, image_id=image_id)
    assert said(answer)["stone"] == ADD
    assert list(evidence(answer, "stone", tag_pb2.EVIDENCE_KIND_RULE).tags) == ["rock"]


def test_what_neighbours_have_implies_its_parents_too(ann: Person) -> None:
    administrator(ann.server).SetTagRules(pb.SetTagRulesRequest(name="beach", parents=["shoreline"]))
    answer = refine(ann, "sky", image=unique(SKY))
    assert said(answer) == {"sky": KEEP, "beach": ADD, "shoreline": ADD}
    assert list(evidence(answer, "shoreline", tag_pb2.EVIDENCE_KIND_RULE).tags) == ["beach"]
    administrator(ann.server).SetTagRules(pb.SetTagRulesRequest(name="beach"))


def test_what_is_suggested_from_outside_is_not_the_owners(ann: Person) -> None:
    image_id = ann.store(unique(SKY)).image_id
    ann.review(image_id, suggest=[pb.SuggestedTag(name="beach", score=0.9)])
    answer = refine(ann, image_id=image_id)
    assert said(answer)["beach"] == ADD
    assert tag_pb2.EVIDENCE_KIND_USER_TAG not in {
        each.kind for decision in answer.decisions for each in decision.evidence
    }


@pytest.mark.parametrize(
    ("request_", "field", "text"),
    [
        ({}, "photo", "neither"),
        ({"image": b"70", "user_tags": ["x"] * 257}, "user_tags", "257 tags"),
        ({"image": b"70", "user_tags": ["a", "x" * 10_000]}, "user_tags[1]", "10,000 characters"),
        ({"image": b"70", "user_tags": [" "]}, "user_tags[0]", "empty"),
        ({"image": b"70", "options": TaggingOptions(target_precision=0.85)}, "options.target_precision", "0.8, 0.9"),
        ({"image": b"70", "options": TaggingOptions(min_score=1.5)}, "options.min_score", "from 0 to 1"),
        ({"image": b"70", "options": TaggingOptions(max_tags=-1)}, "options.max_tags", "negative"),
        ({"image": b"70", "options": TaggingOptions(include_tags=[""])}, "options.include_tags[0]", "empty"),
        ({"image": b"70", "options": TaggingOptions(model="plain-cnn")}, "options.model", "has no refiner"),
        (
            {"image": b"70", "options": TaggingOptions(min_score=0.5, target_precision=0.8)},
            "options.target_precision",
            "cannot be combined",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(ann: Person, request_: dict[str, Any], field: str, text: str) -> None:
    why = failed(ann.RefineTags, pb.RefineTagsRequest(**request_))
    assert (why.code, why.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    assert why.wrong_fields == [field]
    assert text in why.text


def test_what_is_no_photo_and_what_is_not_there_is_said(ann: Person) -> None:
    assert failed(ann.RefineTags, pb.RefineTagsRequest(image=b"no photo")).info.reason == "IMAGE_REJECTED"
    assert failed(ann.RefineTags, pb.RefineTagsRequest(image_id="0" * 32)).info.reason == "NOT_FOUND"
    options = TaggingOptions(model="unknown")
    assert failed(ann.RefineTags, pb.RefineTagsRequest(image=b"70", options=options)).info.reason == "NOT_FOUND"


def test_any_tags_are_answered(ann: Person) -> None:
    tags = [*(f"tag {at}" for at in range(200)), "\U0001f600", "\U0001f1e9\U0001f1ea", "été", "2008", "%", "' OR 1=1"]
    answer = refine(ann, *tags, image=unique(SKY))
    assert [each.name for each in answer.decisions][: len(tags)] == [tag.lower() for tag in tags]
    assert {each.decision for each in answer.decisions[: len(tags)]} == {UNSURE}

"""Refining the tags of photos, sent and stored: who votes, what is said, what comes of it; on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import grpc
import pytest
from people import REJECTED, SHARED, SUGGESTED, Person, administrator, failed, person, unique
from refiners import DOG, SKY, STARTER, LookingEye, write_batch_refiner, write_refiner
from servers import FakeDecoder, Running, await_true, bearer, running
from uploads import upload

from tagwright.v1 import image_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.operation_pb2 import Operation
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright_server.domain import retagging
from tagwright_server.domain.refining import Refining

KEEP, REMOVE = tag_pb2.DECISION_KEEP, tag_pb2.DECISION_REMOVE
ADD, UNSURE = tag_pb2.DECISION_ADD, tag_pb2.DECISION_UNSURE
REFINED = tag_pb2.TAG_SOURCE_REFINEMENT
LABELS = ("animals", "dog", "flower", "people", "sky")
SHORT = TaggingOptions(exclude_tags=LABELS)  # the small network gives all labels one score


@pytest.fixture(scope="module")
def with_refiner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small models, of which the default one has a refiner."""
    folder = tmp_path_factory.mktemp("refined")
    [plain, tagger] = bundles.write_repository(folder, ("plain-cnn", "tagger"), network=False)
    write_refiner(tagger)
    write_batch_refiner(tagger)
    assert plain.name == "plain-cnn"
    return folder


@pytest.fixture(scope="module")
def shared(with_refiner: Path, database_of_module: dict[str, Any]) -> Iterator[Running]:
    """One server for all tests that bring their own people."""
    with running(with_refiner, backend=LookingEye(), decoder=FakeDecoder(), **database_of_module) as serving:
        yield serving


@pytest.fixture
def ann(shared: Running) -> Person:
    return person(shared)


@pytest.fixture
def alone(with_refiner: Path) -> Iterator[Person]:
    """Somebody with a server for themselves, where no other test's photos vote."""
    with running(with_refiner, backend=LookingEye(), decoder=FakeDecoder()) as serving:
        yield person(serving)


@pytest.fixture
def bob(shared: Running) -> Person:
    return person(shared)


def refine(who: Person, *user_tags: str, **said: Any) -> pb.RefineTagsResponse:
    """Ask about a photo; excluding labels unless said otherwise."""
    request = pb.RefineTagsRequest(**{"user_tags": user_tags, "options": SHORT, **said})
    answer: pb.RefineTagsResponse = who.RefineTags(request)
    return answer


def said(answer: pb.RefineTagsResponse | tag_pb2.ImageTags) -> dict[str, int]:
    return {each.name: each.decision for each in answer.decisions}


def evidence(answer: Any, name: str, kind: int) -> tag_pb2.Evidence:
    [found] = [each for each in answer.decisions if each.name == name]
    [reason] = [each for each in found.evidence if each.kind == kind]
    assert isinstance(reason, tag_pb2.Evidence)
    return reason


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


def test_the_starter_library_and_the_labels_go_by_the_names_that_tags_have_here(alone: Person) -> None:
    admin = administrator(alone.server)
    admin.SetTagRules(pb.SetTagRulesRequest(name="seaside", aliases=["beach"]))
    admin.SetTagRules(pb.SetTagRulesRequest(name="heavens", aliases=["sky"]))
    await_true(lambda: "seaside" in said(refine(alone, image=unique(SKY))))
    assert said(refine(alone, image=unique(SKY))) == {"seaside": ADD}
    answer = refine(alone, "seaside", "sky", image=unique(SKY))
    assert said(answer) == {"seaside": KEEP, "heavens": KEEP}
    assert evidence(answer, "heavens", tag_pb2.EVIDENCE_KIND_MODEL_SCORE).value == pytest.approx(0.9, abs=1e-3)
    assert "20 of the 20" in evidence(answer, "seaside", tag_pb2.EVIDENCE_KIND_NEIGHBOURS).text
    image_id = alone.store(unique(SKY), "collie").image_id
    retagged(alone, image_id)
    kept = {tag.name: tag for tag in alone.get(image_id).tags}
    assert (kept["seaside"].source, kept["seaside"].model_version) == (REFINED, "nightly@1")  # it knows only beaches
    admin.SetTagRules(pb.SetTagRulesRequest(name="seaside"))
    await_true(lambda: "beach" in said(refine(alone, image=unique(SKY))))


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


def test_tagging_with_user_tags_takes_the_options_of_its_request(ann: Person) -> None:
    for store in (False, True):

        def tags(options: TaggingOptions, store: bool = store) -> set[str]:
            request = pb.TagImageRequest(image=unique(SKY), user_tags=["umbrella"], options=options, store=store)
            return {tag.name for tag in ann.TagImage(request).tags.tags if tag.source != tag_pb2.TAG_SOURCE_USER}

        assert "beach" in tags(TaggingOptions())
        assert tags(TaggingOptions(exclude_tags=[*LABELS, "beach"])) == set()
        assert len(tags(TaggingOptions(max_tags=1))) == 1
        assert "beach" not in tags(TaggingOptions(min_score=0.999999))


def test_tags_of_uploads_are_judged(ann: Person) -> None:
    [result] = upload(
        ann.server.stranger, [unique(SKY)], said={"user_tags": ["collie"]}, metadata=bearer(ann.token)
    ).values()
    kept = {tag.name: tag for tag in ann.get(result.tags.image_id).tags}
    assert (kept["beach"].source, kept["beach"].state) == (REFINED, SUGGESTED)
    assert kept["collie"].score < 0.2


def test_tagging_with_user_tags_says_what_they_are_worth_and_adds_what_is_missing(ann: Person) -> None:
    request = pb.TagImageRequest(image=unique(SKY), user_tags=["collie", "nikon"])
    tags = ann.TagImage(request).tags
    assert {name: each for name, each in said(tags).items() if name not in LABELS} == {
        "collie": REMOVE,
        "nikon": UNSURE,
        "beach": ADD,
    }
    by_name = {tag.name: tag for tag in tags.tags}
    assert by_name["collie"].score < 0.2
    assert not by_name["nikon"].HasField("score")
    assert by_name["beach"].source == REFINED
    assert not ann.TagImage(pb.TagImageRequest(image=unique(SKY))).tags.decisions


def test_what_is_stored_has_the_scores_and_additions_of_refinement(ann: Person) -> None:
    data = unique(SKY)
    stored = ann.store(data, "collie")
    assert said(stored)["collie"] == REMOVE
    kept = {tag.name: tag for tag in ann.get(stored.image_id).tags}
    assert kept["collie"].score < 0.2
    assert (kept["beach"].source, kept["beach"].model_version) == (REFINED, "tagger@1")
    again = ann.store(data, "moon")
    assert again.existing
    assert {"collie", "moon"} <= said(again).keys()


def test_what_a_person_rejected_stays_away_through_storing_and_tagging_again(ann: Person) -> None:
    data = unique(SKY)
    image_id = ann.store(data, "collie").image_id
    ann.review(image_id, reject=["beach"])
    assert "beach" not in said(ann.store(data, "moon"))
    assert ann.states(image_id)["beach"] == REJECTED


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


def test_a_model_without_a_refiner_tags_as_ever(ann: Person) -> None:
    tags = ann.store(unique(SKY), "collie", options=TaggingOptions(model="plain-cnn"))
    assert not tags.decisions
    assert "collie" in {tag.name for tag in tags.tags}


def test_tagging_again_judges_what_people_gave_by_the_photos_that_each_owner_sees(ann: Person, bob: Person) -> None:
    score = 30
    image_id = ann.store(unique(score), "moon").image_id
    for _ in range(14):
        bob.store(unique(score), "rock")
        ann.store(unique(score), "moon")
    admin = administrator(ann.server)
    operation = admin.RetagImages(pb.RetagImagesRequest(filter=image_pb2.ImageFilter(ids=[image_id]))).operation
    await_true(lambda: admin.GetOperation(pb.GetOperationRequest(id=operation.id)).operation.done == 1)
    kept = {tag.name: tag for tag in ann.get(image_id).tags}
    assert kept["moon"].score > 0.6
    assert "rock" not in kept


def test_a_batch_refiner_judges_stored_photos_as_a_model_of_retagging(ann: Person) -> None:
    high, low = ann.store(unique(SKY), "collie", "nikon").image_id, ann.store(unique(DOG), "collie").image_id
    left = ann.store(unique(SKY), "nikon").image_id
    ann.review(left, reject=["beach"])
    before = {id: ann.get(id) for id in (high, low, left)}
    dry = retagged(ann, high, low, left, dry=True)
    assert {id: ann.get(id) for id in before} == before
    done = retagged(ann, high, low, left)
    assert (done.model_version, done.done, done.tag_changes) == ("nightly@1", 3, dry.tag_changes)
    kept = {id: {tag.name: tag for tag in ann.get(id).tags} for id in before}
    beach = kept[high]["beach"]
    assert (beach.source, beach.model_version) == (REFINED, "nightly@1")
    assert beach.score > 0.9
    assert kept[high]["collie"].score < 0.1  # its owner typed it: that stays, and says what it is worth
    assert kept[low]["collie"].score > 0.9
    assert not kept[high]["nikon"].HasField("score")
    assert kept[left]["beach"].state == REJECTED
    refused = failed(ann.RefineTags, pb.RefineTagsRequest(image_id=high, options=TaggingOptions(model="nightly")))
    assert refused.info.reason == "NOT_FOUND"


def test_retagging_waits_until_the_photos_that_are_kept_vote(
    alone: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image_id = alone.store(unique(SKY), "collie").image_id
    opened = threading.Event()
    monkeypatch.setattr(Refining, "opening", lambda self, model: not opened.is_set())
    monkeypatch.setattr(retagging, "_OPENING_S", 0.05)
    admin = administrator(alone.server)
    wanted = pb.RetagImagesRequest(filter=image_pb2.ImageFilter(ids=[image_id]))
    begun = admin.RetagImages(wanted).operation
    with caplog.at_level("INFO", logger=retagging.__name__):
        await_true(lambda: "do not vote yet" in caplog.text)
    assert admin.GetOperation(pb.GetOperationRequest(id=begun.id)).operation.done == 0
    opened.set()
    await_true(lambda: admin.GetOperation(pb.GetOperationRequest(id=begun.id)).operation.done == 1)


def retagged(who: Person, *ids: str, dry: bool = False) -> Operation:
    admin = administrator(who.server)
    wanted = pb.RetagImagesRequest(filter=image_pb2.ImageFilter(ids=ids), model="nightly", validate_only=dry)
    begun = admin.RetagImages(wanted).operation

    def now() -> Operation:
        operation: Operation = admin.GetOperation(pb.GetOperationRequest(id=begun.id)).operation
        return operation

    await_true(lambda: now().HasField("end_time"))
    return now()


def test_models_say_whether_they_refine(ann: Person) -> None:
    models = {model.name: model for model in ann.ListModels(pb.ListModelsRequest()).models}
    assert models["tagger"].refines
    assert list(models["tagger"].batch_refiners) == ["nightly@1"]
    assert not models["plain-cnn"].batch_refiners
    assert not models["plain-cnn"].refines


def test_photos_vote_also_after_a_restart(with_refiner: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"backend": LookingEye(), "decoder": FakeDecoder(), "data_folder": tmp_path}
    with running(with_refiner, **settings) as server:
        image_id = person(server).store(unique(SKY), "beach", visibility=SHARED).image_id
    with running(with_refiner, **settings) as server:
        eve = person(server)
        answer = refine(eve, "beach", image=unique(SKY))
        assert answer.library_size == STARTER + 1
        assert image_id in evidence(answer, "beach", tag_pb2.EVIDENCE_KIND_NEIGHBOURS).image_ids

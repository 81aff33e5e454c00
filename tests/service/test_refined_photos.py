"""What refinement makes of photos that are tagged, stored, uploaded and tagged again; on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from people import REJECTED, SHARED, SUGGESTED, Person, administrator, failed, person, unique
from refiners import DOG, SKY, STARTER, LookingEye
from refining import ADD, KEEP, LABELS, REFINED, REMOVE, UNSURE, evidence, refine, retagged, said
from servers import FakeDecoder, Running, await_true, bearer, running
from uploads import upload

from tagwright.v1 import image_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright_server.domain import retagging
from tagwright_server.domain.refining import Refining


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


def test_tagging_with_user_tags_takes_the_options_of_its_request(ann: Person) -> None:
    for store in (False, True):

        def tags(options: TaggingOptions, store: bool = store) -> set[str]:
            request = pb.TagImageRequest(image=unique(SKY), user_tags=["umbrella"], options=options, store=store)
            return {tag.name for tag in ann.TagImage(request).tags.tags if tag.source != tag_pb2.TAG_SOURCE_USER}

        assert "beach" in tags(TaggingOptions())
        assert tags(TaggingOptions(exclude_tags=[*LABELS, "beach"])) == set()
        assert len(tags(TaggingOptions(max_tags=1))) == 1
        assert "beach" not in tags(TaggingOptions(min_score=0.999999))


def test_tags_of_uploads_are_judged_once_they_are_tagged_again(ann: Person) -> None:
    said = {"user_tags": ["collie"]}
    [result] = upload(ann.server.stranger, [unique(SKY)], said=said, metadata=bearer(ann.token)).values()
    image_id = result.tags.image_id
    assert "beach" not in {tag.name for tag in ann.get(image_id).tags}
    retagged(ann, image_id, model="tagger")
    kept = {tag.name: tag for tag in ann.get(image_id).tags}
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

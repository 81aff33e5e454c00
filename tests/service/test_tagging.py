"""From a photo to its tags through a real server, real decoding processes and a real (small) network."""

from __future__ import annotations

import bundles
import grpc
import photos as pictures
import pytest
from servers import Running, failure_in, failure_of, photo, photos, same

from tagwright.v1 import tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb

PHOTO = pictures.jpeg(320, 240)


def test_a_photo_comes_back_with_every_label_when_asked_for_all(server: Running) -> None:
    tags = server.tagging.TagImage(photo(PHOTO, min_score=0.0)).tags
    assert sorted(tag.name for tag in tags.tags) == sorted(bundles.LABELS)
    assert [tag.score for tag in tags.tags] == sorted((tag.score for tag in tags.tags), reverse=True)
    assert {tag.source for tag in tags.tags} == {tag_pb2.TAG_SOURCE_MODEL}
    assert {tag.state for tag in tags.tags} == {tag_pb2.TAG_STATE_SUGGESTED}
    assert {tag.model_version for tag in tags.tags} == {tags.model_version} == {"tagger@1"}
    assert (tags.image.width, tags.image.height, tags.image.format) == (320, 240, "JPEG")
    assert not tags.embedding


def test_the_same_photo_gives_the_same_answer(server: Running) -> None:
    request = photo(PHOTO, min_score=0.0, include_evidence=True, include_embedding=True)
    assert same(server.tagging.TagImage(request), server.tagging.TagImage(request))


def test_a_photo_in_a_batch_gets_the_tags_it_gets_alone(server: Running) -> None:
    request = photo(PHOTO, min_score=0.0)
    others = [photo(pictures.jpeg(seed=seed)) for seed in range(3)]
    alone = {tag.name: tag.score for tag in server.tagging.TagImage(request).tags.tags}
    batched = server.tagging.TagImages(photos(*others, request)).results[-1].tags
    assert {tag.name: tag.score for tag in batched.tags} == pytest.approx(alone, abs=1e-6)


def test_the_embedding_comes_when_asked_for_and_has_length_one(server: Running) -> None:
    embedding = server.tagging.TagImage(photo(PHOTO, include_embedding=True)).tags.embedding
    assert len(embedding) == 8
    assert sum(x * x for x in embedding) == pytest.approx(1.0, abs=1e-5)


def test_evidence_holds_each_score_against_its_threshold(server: Running) -> None:
    tags = server.tagging.TagImage(photo(PHOTO, min_score=0.0, include_evidence=True)).tags.tags
    for tag in tags:
        (reason,) = tag.evidence
        assert reason.kind == tag_pb2.EVIDENCE_KIND_MODEL_SCORE
        assert reason.value == pytest.approx(tag.score)
        assert reason.threshold == 0.0
        assert f"{tag.score:.3f}" in reason.text


def test_a_request_chooses_its_model_by_name_or_by_name_and_version(server: Running) -> None:
    for name in ("plain-cnn", "plain-cnn@1"):
        assert server.tagging.TagImage(photo(PHOTO, model=name)).tags.model_version == "plain-cnn@1"


def test_a_batch_may_mix_models_and_options(server: Running) -> None:
    requests = [photo(PHOTO, min_score=0.0, model=name) for name in ("plain-cnn", "", "plain-cnn@1", "tagger")]
    results = server.tagging.TagImages(photos(*requests)).results
    assert [result.tags.model_version for result in results] == ["plain-cnn@1", "tagger@1", "plain-cnn@1", "tagger@1"]
    for request, result in zip(requests, results, strict=True):
        alone = {tag.name: tag.score for tag in server.tagging.TagImage(request).tags.tags}
        assert {tag.name: tag.score for tag in result.tags.tags} == pytest.approx(alone, abs=1e-6)


def test_of_eight_photos_with_one_truncated_seven_are_tagged_and_one_is_rejected_in_its_place(server: Running) -> None:
    files = [pictures.jpeg(seed=seed) for seed in range(8)]
    files[3] = files[3][: len(files[3]) // 2]
    results = server.tagging.TagImages(photos(*(photo(file) for file in files))).results
    assert [result.WhichOneof("result") for result in results] == ["tags"] * 3 + ["error"] + ["tags"] * 4
    failure = failure_in(results[3])
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert (failure.info.reason, failure.info.domain) == ("IMAGE_REJECTED", "tagwright")
    assert failure.info.metadata["limit"] == "truncated"


def test_wrong_options_of_one_photo_fail_that_photo_alone_and_say_where_they_are(server: Running) -> None:
    requests = [photo(PHOTO), photo(PHOTO, min_score=2.0), photo(PHOTO, model="nobody")]
    tagged, wrong, unknown = server.tagging.TagImages(photos(*requests)).results
    assert tagged.WhichOneof("result") == "tags"
    assert failure_in(wrong).wrong_fields == ["requests[1].options.min_score"]
    assert failure_in(unknown).code == grpc.StatusCode.NOT_FOUND


def test_a_batch_of_nothing_but_bad_photos_still_answers_for_each(server: Running) -> None:
    results = server.tagging.TagImages(photos(photo(b""), photo(b"GIF89a"))).results
    assert [failure_in(result).info.metadata["limit"] for result in results] == ["empty", "format"]


@pytest.mark.parametrize("method", ["TagImage", "TagImages"])
def test_the_trailing_metadata_says_where_the_time_went(server: Running, method: str) -> None:
    request = photo(PHOTO) if method == "TagImage" else photos(photo(PHOTO), photo(b"bad"))
    _, call = getattr(server.tagging, method).with_call(request)
    spent = {key: float(value) for key, value in call.trailing_metadata() if key.startswith("tagwright-")}
    stages = ("decode", "queue", "inference", "refinement", "search", "store")
    assert set(spent) == {f"tagwright-{stage}-ms" for stage in stages}
    assert spent["tagwright-decode-ms"] > 0
    assert spent["tagwright-inference-ms"] > 0


def test_the_models_are_listed_with_the_default_one_first(server: Running) -> None:
    answer = server.tagging.ListModels(pb.ListModelsRequest())
    assert [(model.name, model.version, model.is_default) for model in answer.models] == [
        ("tagger", "1", True),
        ("plain-cnn", "1", False),
    ]
    first = answer.models[0]
    assert tuple(label.name for label in first.labels) == bundles.LABELS
    thresholds = {
        round(t.precision, 3): t.threshold if t.HasField("threshold") else None for t in first.labels[0].thresholds
    }
    assert thresholds == {0.5: 0.25, 0.7: 0.5, 0.9: None}
    assert len(first.digest) == 64
    assert (first.architecture, first.embedding_size) == ("tiny", 8)
    assert dict(first.metrics) == {"map_24": 0.75}
    assert first.create_time.ToJsonString() == "2026-01-02T03:04:05Z"
    assert answer.engine.startswith("TorchScript ")
    assert answer.uptime.ToNanoseconds() > 0
    assert answer.next_page_token == ""


def test_the_list_of_models_can_be_read_page_by_page(server: Running) -> None:
    first = server.tagging.ListModels(pb.ListModelsRequest(page_size=1))
    second = server.tagging.ListModels(pb.ListModelsRequest(page_size=1, page_token=first.next_page_token))
    assert [model.name for model in (*first.models, *second.models)] == ["tagger", "plain-cnn"]
    assert first.next_page_token
    assert second.next_page_token == ""
    assert len(server.tagging.ListModels(pb.ListModelsRequest(page_size=10_000)).models) == 2


@pytest.mark.parametrize("token", ["x", "AAAAAQ==", "é", "A" * 16, "../../etc"])
def test_a_page_token_that_is_none_of_ours_is_refused(server: Running, token: str) -> None:
    failure = failure_of(server.tagging.ListModels, pb.ListModelsRequest(page_token=token))
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


def test_a_negative_page_size_is_refused(server: Running) -> None:
    failure = failure_of(server.tagging.ListModels, pb.ListModelsRequest(page_size=-1))
    assert failure.wrong_fields == ["page_size"]

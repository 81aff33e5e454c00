"""Which of a photo's tags are right, wrong or missing: the refinement module over the photos that this server keeps.

Photos vote that look alike: stored ones, of those that the asker may see, and those of the starter library. Statistics
of tags (how many photos have one, which come together) are of all photos, but nobody is told of a tag with which they
see too few photos, and no name reaches anybody through them: names come from the asker, the model, the starter library
and photos that the asker sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Caller
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.decisions import Refined
from tagwright_server.domain.keeping import Candidate, visible_to
from tagwright_server.domain.models import Models, full_name
from tagwright_server.domain.refinery import Refinery
from tagwright_server.domain.tag_names import tag_names
from tagwright_server.domain.tagging import ImageTags, Look, PhotoRequest, Tagger, Timings
from tagwright_server.domain.tags import TaggingOptions
from tagwright_server.errors import ArgumentInvalid, NotFound
from tagwright_server.inference.bundle import Bundle
from tagwright_server.refinement.batch import BatchRefiner
from tagwright_server.refinement.records import Decision, Photo, RefineOptions, TagDecision
from tagwright_server.refinement.tag_counts import EVERYBODY
from tagwright_server.store.blobs import BlobMissing, Blobs
from tagwright_server.store.image_records import Image, ImageTag, TagSource, TagState, Visibility
from tagwright_server.store.store import Store


@dataclass(frozen=True, slots=True)
class Refinement:
    """What refinement says of one photo, and how many photos could vote."""

    look: Look
    decisions: tuple[TagDecision, ...]
    library_size: int
    model_version: str
    """The model that looked, whose refiner it is, or the batch refiner: `name@version`."""

    def refined(self, seen: ImageTags | None = None, options: TaggingOptions | None = None) -> Refined:
        """Return it as what becomes of the tags of a photo, no more of them with those `seen` than options allow."""
        scores = {each.name: each.score for each in self.decisions if each.score is not None}
        missing = [each.name for each in self.decisions if each.decision is Decision.ADD]
        if seen is not None and options is not None and options.max_tags:
            there = {tag.name for tag in seen.tags}
            room = options.max_tags - len(there)
            beyond = [name for name in missing if name not in there][max(0, room) :]
            missing = [name for name in missing if name not in beyond]
        return Refined(self.model_version, scores, frozenset(missing))


class Refining:
    """Refines the tags of photos, with those of the models that have a refiner."""

    def __init__(
        self,
        refineries: Mapping[str, Refinery],
        batches: Mapping[str, BatchRefiner],
        *,
        store: Store,
        blobs: Blobs,
        tagger: Tagger,
        models: Models,
        clock: Clock,
    ) -> None:
        self._refineries = refineries  # both by `name@version`
        self._batches = batches
        self._store = store
        self._blobs = blobs
        self._tagger = tagger
        self._models = models
        self._clock = clock

    def can(self, model: Bundle) -> bool:
        """Whether a model has a refiner."""
        return full_name(model) in self._refineries

    def find(self, name: str) -> tuple[str, Bundle]:
        """Return the model that a name means, and that itself as `name@version`: a batch refiner means its base.

        Raises NotFound.
        """
        for full, refiner in self._batches.items():
            if name in (full, refiner.manifest.name):
                return full, self._models.find(refiner.manifest.base.model)
        model = self._models.find(name)
        return full_name(model), model

    def batches_of(self, model: Bundle) -> list[str]:
        """Return the batch refiners of a model, `name@version`."""
        base = full_name(model)
        return sorted(name for name, refiner in self._batches.items() if refiner.manifest.base.model == base)

    def sent(
        self, image: bytes, user_tags: Sequence[str], options: TaggingOptions, deadline: Deadline, *, by: Caller
    ) -> tuple[Refinement, Timings]:
        """Refine the tags of a photo that is sent; raises what tagging raises, and ArgumentInvalid for no refiner."""
        self._check(options)
        looked, timings = self._tagger.tag(PhotoRequest(image, _looking(options)), deadline)
        return self._timed(_Tagged(looked.look, tuple(user_tags)), options, timings, viewer=visible_to(by))

    def stored(
        self, image_id: str, user_tags: Sequence[str], options: TaggingOptions, deadline: Deadline, *, by: Caller
    ) -> tuple[Refinement, Timings]:
        """Refine the tags of a photo that is kept: those that people gave it, or others. Raises NotFound as well."""
        image = self._see(image_id, by)
        self._check(options)
        has = self._store.tags.of([image.number]).get(image.number, ())
        try:
            kept = self._blobs.read(image.content.sha256)
        except BlobMissing:
            self._see(image_id, by)  # deleted meanwhile: then that is what there is to say
            raise
        looked, timings = self._tagger.tag(PhotoRequest(kept, _looking(options), ours=True), deadline)
        tagged = _tagged(looked.look, has)
        if user_tags:
            tagged = replace(tagged, given=tuple(user_tags))
        return self._timed(tagged, options, timings, viewer=visible_to(by), but=image.id)

    def kept(
        self,
        look: Look,
        has: Sequence[ImageTag],
        given: Sequence[str] = (),
        *,
        owner_id: str,
        shared: bool = False,
        options: TaggingOptions = TaggingOptions(),  # noqa: B008  (frozen)
        but: str = "",
        by: str = "",
    ) -> Refinement | None:
        """Refine a photo that is kept, or is to be; None where the model has no refiner, or nobody gave it any tag.

        Photos vote that its owner sees, or of a shared one those that everybody sees, whoever asks: what comes of it
        stays with the photo. `by` is the batch refiner that judges instead. Raises ArgumentInvalid for options.
        """
        tagged = _tagged(look, has)
        tagged = replace(tagged, given=tuple(dict.fromkeys((*tagged.given, *given))))
        if not self.can(look.model) or not tagged.given:
            return None
        viewer = EVERYBODY if shared else owner_id
        if by in self._batches:
            return self._refine_by(self._batches[by], tagged, viewer=viewer)
        return self._refine(tagged, options, viewer=viewer, but=but)

    def candidate(
        self, photo: Candidate, options: TaggingOptions, *, by: Caller
    ) -> tuple[Candidate, Refinement | None]:
        """Refine a photo that its owner is about to keep; return it with what that makes of its tags."""
        there = self._store.images.find(by.account.id, [photo.source]).get(photo.source)
        has = self._store.tags.of([there.number]).get(there.number, ()) if there is not None else ()
        found = self.kept(
            photo.looked.look,
            has,
            photo.given,
            owner_id=by.account.id,
            shared=(there.visibility if there is not None else photo.submission.visibility) is Visibility.SHARED,
            options=options,
            but=there.id if there is not None else "",
        )
        return (photo if found is None else replace(photo, refined=found.refined(photo.looked, options))), found

    def opening(self, model: Bundle) -> bool:
        """Whether photos that are kept do not vote yet for a model's refiner, but are about to."""
        refinery = self._refineries.get(full_name(model))
        return refinery is not None and refinery.opening

    def _timed(
        self, tagged: _Tagged, options: TaggingOptions, timings: Timings, *, viewer: str | None, but: str = ""
    ) -> tuple[Refinement, Timings]:
        begun_s = self._clock.monotonic_s()
        found = self._refine(tagged, options, viewer=viewer, but=but)
        return found, replace(timings, refinement_s=self._clock.monotonic_s() - begun_s)

    def _check(self, options: TaggingOptions) -> None:
        """Raise NotFound and ArgumentInvalid before anything is decoded."""
        model = self._tagger.check(_looking(options))
        refinery = self._refineries.get(full_name(model))
        if refinery is None:
            raise ArgumentInvalid(f"the model {full_name(model)} has no refiner", field="options.model")
        refinery.refiner.thresholds(_options(options))
        tag_names(options.include_tags, field="options.include_tags")
        tag_names(options.exclude_tags, field="options.exclude_tags")

    def _refine(self, tagged: _Tagged, options: TaggingOptions, *, viewer: str | None, but: str) -> Refinement:
        look = tagged.look
        refinery = self._refineries[full_name(look.model)]
        labels = [label.name for label in look.model.labels]
        include = tag_names(options.include_tags, field="options.include_tags")
        exclude = tag_names(options.exclude_tags, field="options.exclude_tags")
        meant = self._store.tags.resolve(sorted({*labels, *tagged.given, *include, *exclude}))
        photo = Photo(
            look.embedding,
            dict(zip(labels, look.scores.tolist(), strict=True)),
            tuple(dict.fromkeys(meant[name] for name in tagged.given)),
            tagged.confirmed,
            tagged.rejected,
        )
        wanted = replace(
            _options(options),
            include=tuple(meant[name] for name in include),
            exclude=frozenset(meant[name] for name in exclude),
        )
        decisions = refinery.refine(photo, wanted, viewer=viewer, but=but)
        return Refinement(look, decisions, refinery.size(viewer), full_name(look.model))

    def _refine_by(self, batch: BatchRefiner, tagged: _Tagged, *, viewer: str) -> Refinement:
        meant = self._store.tags.resolve(sorted({*batch.names, *tagged.given}))
        given = tuple(dict.fromkeys(meant[name] for name in tagged.given))
        photo = Photo(tagged.look.embedding, {}, given, tagged.confirmed, tagged.rejected)
        own = [name for name in batch.names if meant[name] in given]  # it knows tags by what they were called then
        scores: dict[str, float] = {}
        for name, score in batch.scores(photo.embedding, own).items():
            scores[meant[name]] = max(score, scores.get(meant[name], 0.0))
        refinery = self._refineries[full_name(tagged.look.model)]
        decisions = refinery.decide(photo, scores, batch.manifest.thresholds, viewer=viewer)
        name = f"{batch.manifest.name}@{batch.manifest.version}"
        return Refinement(tagged.look, decisions, 0, name)

    def _see(self, image_id: str, by: Caller) -> Image:
        image = self._store.images.get(image_id, visible_to=visible_to(by))
        if image is None:
            raise NotFound("there is no such photo")
        return image


@dataclass(frozen=True, slots=True)
class _Tagged:
    """What a model saw of a photo, and what people say of its tags."""

    look: Look
    given: tuple[str, ...]
    confirmed: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()


def _tagged(look: Look, has: Sequence[ImageTag]) -> _Tagged:
    confirmed = frozenset(tag.name for tag in has if tag.state is TagState.CONFIRMED)
    rejected = frozenset(tag.name for tag in has if tag.state is TagState.REJECTED)
    peoples = [tag for tag in has if tag.name not in rejected and (_is_peoples(tag) or tag.name in confirmed)]
    in_order = sorted(peoples, key=lambda tag: (tag.position is None, tag.position or 0, tag.name))
    return _Tagged(look, tuple(tag.name for tag in in_order), confirmed, rejected)


def _is_peoples(tag: ImageTag) -> bool:
    """Whether its owner gave it; what was suggested to a photo from outside has no place among the owner's tags."""
    return tag.source is TagSource.USER or (tag.source is TagSource.IMPORT and tag.position is not None)


def _looking(options: TaggingOptions) -> TaggingOptions:
    """What the network is asked: everything else is the refiner's."""
    return TaggingOptions(model=options.model, min_score=options.min_score, max_tags=options.max_tags)


def _options(options: TaggingOptions) -> RefineOptions:
    if options.target_precision is not None and options.min_score is not None:
        raise ArgumentInvalid("cannot be combined with min_score", field="options.target_precision")
    return RefineOptions(options.target_precision, options.min_score, options.max_tags)

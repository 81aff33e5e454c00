"""The refiners that lie beside the served models: those that judge at once, and batch refiners."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from functools import partial
from pathlib import Path

from tagwright_server.domain.indexes import KeptIndex
from tagwright_server.domain.models import Models, full_name
from tagwright_server.domain.refinery import Refinery
from tagwright_server.errors import StartupError
from tagwright_server.inference.bundle import Bundle
from tagwright_server.refinement import artefact
from tagwright_server.refinement.batch import BATCH_FOLDER, BatchRefiner
from tagwright_server.search import codes
from tagwright_server.store.photo_index import Coder, PhotoIndex
from tagwright_server.store.store import Store

log = logging.getLogger(__name__)


def open_photo_indexes(models: Models, store: Store, index_folder: Path) -> dict[str, KeptIndex[PhotoIndex]]:
    """Return the indexes, none opened, of those models that have a refiner, and of the default, whose looks searches
    compare; by `name@version`. Raises StartupError.
    """
    return {
        full_name(model): KeptIndex(
            f"photos by {full_name(model)}",
            partial(PhotoIndex, store, full_name(model), model.embedding_size, index_folder, _coder(model)),
        )
        for model in models.ordered
        if model is models.default or (model.path / artefact.FOLDER).is_dir()
    }


def _coder(model: Bundle) -> Coder | None:
    folder = model.path / codes.FOLDER
    if not folder.is_dir():
        return None
    read = codes.load(folder, model=full_name(model), model_digest=model.digest, embedding_size=model.embedding_size)
    log.info("hasher of %s: codes of %d bits", full_name(model), read.encoder.bits)
    return read.encoder


def open_refineries(models: Models, store: Store, indexes: Mapping[str, KeptIndex[PhotoIndex]]) -> dict[str, Refinery]:
    """Return the refiners of those models that have one, by `name@version`; raises StartupError."""
    found: dict[str, Refinery] = {}
    for model in models.ordered:
        folder = model.path / artefact.FOLDER
        if folder.is_dir():
            name = full_name(model)
            read = artefact.load(folder, model=name, model_digest=model.digest, embedding_size=model.embedding_size)
            found[name] = Refinery(read, indexes[name], store.tags)
            log.info("refiner of %s: %d photos in its starter library", name, len(read.starter))
    return found


def open_batch_refiners(models: Models, refined: Container[str]) -> dict[str, BatchRefiner]:
    """Return the batch refiners of those models that have a refiner, by `name@version`; raises StartupError."""
    found: dict[str, BatchRefiner] = {}
    for model in models.ordered:
        folders = sorted((model.path / BATCH_FOLDER).glob("*/")) if full_name(model) in refined else []
        for folder in folders:
            batch = BatchRefiner.load(folder)
            name = f"{batch.manifest.name}@{batch.manifest.version}"
            if (batch.manifest.base.model, batch.manifest.base.digest_sha256) != (full_name(model), model.digest):
                raise StartupError(f"{folder}: is a refiner of another model, {batch.manifest.base.model}")
            if name in found or batch.manifest.name in {each.name for each in models.ordered}:
                raise StartupError(f"{folder}: the name {batch.manifest.name} is taken")
            found[name] = batch
            log.info("batch refiner %s of %s: %d tags", name, full_name(model), len(batch.names))
    return found

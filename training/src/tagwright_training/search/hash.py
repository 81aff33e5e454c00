"""`tagwright-train hash`: trains the codes of a model's embeddings, and writes them beside the model.

The codes learn from embeddings and from what owners typed; no annotation has a part in them, but one in the embeddings
themselves, which the tagger learnt. The train and calibrate parts are learnt from; the test part says how many of the
nearest photos a first stage finds.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from tagwright_server.errors import ImageRejected, ModelUnavailable, StartupError
from tagwright_server.inference.bundle import Bundle, load_bundle
from tagwright_server.search import codes
from tagwright_server.search.codes import Encoder, Manifest
from tagwright_training.dataset import write_atomically
from tagwright_training.prepare import progress, read_or_exit, stop
from tagwright_training.refinement.corpus import Corpus, normalised
from tagwright_training.refinement.evaluate_refinement import FEWEST_PHOTOS
from tagwright_training.refinement.features import tagger_look
from tagwright_training.search import hashing, words
from tagwright_training.search.code_evaluation import EXACT, first_stage_recall, hamming, nearest, signs
from tagwright_training.search.hashing import Recipe

METHOD = "L1 and L3 of WDHT on user tags, from ITQ of the embeddings on; one linear step"
MEASURED = (0.01, 0.02, 0.05)  # shares of the library looked at


def command(
    library: Annotated[Path, typer.Argument(help="Folder of the photos to learn from, laid out like MIRFlickr-25k.")],
    model: Annotated[Path, typer.Option(help="The model's version folder.")] = Path("model_repository/tagger/1"),
    bits: Annotated[int, typer.Option(help="Length of a code: 64, 128, 192 or 256.")] = 128,
    out: Annotated[Path | None, typer.Option(help="Where to write it [default: `hasher` in the model's].")] = None,
    cache: Annotated[Path, typer.Option(help="Where what networks make of photos is kept.")] = Path("runs/features"),
    word_folder: Annotated[Path | None, typer.Option("--words", help="Folder of GloVe [default: its package].")] = None,
    allow_absent: Annotated[bool, typer.Option(help="Leave out annotations of photos that are not there.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the training.")] = 1,
) -> None:
    """Train codes on the photos and user tags of LIBRARY, and write them beside the model."""
    console = Console(stderr=True)
    if bits not in (64, 128, 192, 256):
        raise stop(console, f"codes of {bits} bits: choose 64, 128, 192 or 256")
    try:
        bundle = load_bundle(model)
    except StartupError as err:
        raise stop(console, str(err)) from err
    dataset = read_or_exit(console, library, seed=seed, allow_absent=allow_absent)
    corpus = Corpus.of(dataset)
    learning, test = corpus.part("train", "calibrate"), corpus.part("test")
    if min(len(learning), len(test)) < FEWEST_PHOTOS:
        raise stop(console, f"{library}: {len(corpus.photos):,} photos are too few")
    try:
        vectors = words.word_vectors(corpus.tags.names, word_folder)
        with progress(console, "Looking at photos") as advance:
            look = tagger_look(bundle, dataset, corpus.photos, cache, advance)
    except (FileNotFoundError, ImageRejected, ModelUnavailable) as err:
        raise stop(console, str(err)) from err
    embedding = normalised(look.embedding)
    recipe = hashing.served(bits, seed=seed)
    tags = words.tag_vectors(corpus.tags.take(learning), vectors)
    content = codes.pack(hashing.train(embedding[learning], tags, recipe))
    figures = measure(codes.unpack(content), embedding[learning], embedding[test])
    folder = out or model / codes.FOLDER
    manifest = describe(bundle, content, recipe, photos=len(learning), metrics=figures)
    write_atomically(folder / codes.WEIGHTS_FILE, content)
    write_atomically(folder / codes.MANIFEST_FILE, (manifest.model_dump_json(indent=1) + "\n").encode())
    told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    console.print(f"Wrote {escape(str(folder))}: {bits} bits, {len(content) / 1e3:.0f} kB; {told}")


def measure(encoder: Encoder, library: codes.Array, photos: codes.Array) -> dict[str, float]:
    """Return the share of each photo's nearest that are among those looked at, by share of the library."""
    there = signs(encoder, library)
    found = first_stage_recall(
        lambda rows: hamming(signs(encoder, rows), there), photos, nearest(library, photos), MEASURED, len(library)
    )
    return {f"nearest_{EXACT}_at_{share:g}": round(value, 4) for share, value in zip(MEASURED, found, strict=True)}


def describe(bundle: Bundle, content: bytes, recipe: Recipe, *, photos: int, metrics: dict[str, float]) -> Manifest:
    """Return the manifest of an encoder of a model."""
    numbers = {key: float(value) for key, value in asdict(recipe).items() if not isinstance(value, str)}
    return Manifest(
        model=f"{bundle.name}@{bundle.version}",
        model_digest_sha256=bundle.digest,
        digest_sha256=hashlib.sha256(content).hexdigest(),
        created=datetime.now(timezone.utc),
        embedding_size=bundle.embedding_size,
        bits=recipe.bits,
        method=METHOD,
        training=numbers | {"photos": float(photos)},
        metrics=metrics,
    )

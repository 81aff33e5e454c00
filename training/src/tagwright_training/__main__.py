"""`tagwright-train`: taggers and refiners, from photos to what the server loads, and how good they are.

Each verb is the function `command` of a module. Only the module that is asked for is imported, so that
`--help` and `prepare` need no torch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

import typer

_VERBS = {
    "prepare": ("prepare", "Check a folder of photos and annotations, write one manifest with a fixed split."),
    "train": ("train", "Train a network on a prepared data set."),
    "evaluate": ("evaluate", "Measure exported models on photos they have not seen."),
    "agree": ("agree", "Compare a model's tags of full-size photos with those of the same photos made small."),
    "export": ("export", "Turn a trained network into a model the server can load."),
    "refiner": ("refinement.fit", "Fit what the server weighs tags by, and the starter library."),
    "refine": ("refinement.refine", "Fit a batch refiner to a folder's photos and their users' tags."),
    "hash": ("search.hash", "Train the codes that a large library is looked through by."),
    "evaluate-refinement": ("refinement.evaluate_refinement", "Measure every way to refine tags on unseen photos."),
    "evaluate-search": ("search.evaluate_search", "Measure tag search, variety and codes on unseen photos."),
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """The command line for these arguments: the verb they name in full, the others by their help line alone."""
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
    app.callback(help="Train and measure Tagwright's taggers.")(_no_options)
    for verb, (_, line) in _VERBS.items():
        app.command(verb, help=None if verb == wanted else line)(_command(verb) if verb == wanted else _no_options)
    return app


def main() -> None:
    """Run the verb that the arguments name."""
    build(sys.argv[1:])()


def _command(verb: str) -> Callable[..., None]:
    command: Callable[..., None] = importlib.import_module(f"tagwright_training.{_VERBS[verb][0]}").command
    return command


def _no_options() -> None:
    """Stands for a verb that was not asked for, and for the group's own options, of which there are none."""


if __name__ == "__main__":
    main()

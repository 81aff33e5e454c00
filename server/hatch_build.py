"""Puts the model repository into the wheel, and into the sdist from which a wheel can be built.

The repository lies beside this folder in a checkout and inside it in an sdist, which a fixed path in pyproject.toml
cannot say. An editable install carries no copy: there the server reads the checkout's own.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModelRepository(BuildHookInterface):  # type: ignore[type-arg]  # the hook takes no settings
    """Adds `model_repository/` to the files of a build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; a checkout without models must not be built from."""
        if version == "editable":
            return
        places = [Path(self.root) / "model_repository", Path(self.root).parent / "model_repository"]
        source = next((place for place in places if place.is_dir()), None)
        if source is None:
            raise FileNotFoundError("tagwright-server is built with its models: there is no model_repository/")
        inside = "tagwright_server/model_repository" if self.target_name == "wheel" else "model_repository"
        build_data["force_include"][str(source)] = inside

"""Which models are served, and which of them a request means."""

from __future__ import annotations

from collections.abc import Sequence

from tagwright_server.domain.quoting import quoted
from tagwright_server.errors import NotFound, StartupError
from tagwright_server.inference.bundle import Bundle


def full_name(model: Bundle) -> str:
    """Return `name@version`, as answers carry it."""
    return f"{model.name}@{model.version}"


class Models:
    """The served models; `ordered` begins with the default one, the others follow by name."""

    def __init__(self, bundles: Sequence[Bundle], *, default: str) -> None:
        self._by_name = {name: bundle for bundle in bundles for name in (bundle.name, full_name(bundle))}
        chosen = self._by_name.get(default)
        if chosen is None:
            there = ", ".join(sorted(bundle.name for bundle in bundles)) or "none"
            raise StartupError(
                f"the default model {quoted(default)} is not in the model repository, which holds: {there}"
            )
        self.default = chosen
        self.ordered = (chosen, *sorted((b for b in bundles if b is not chosen), key=lambda b: (b.name, b.version)))

    def find(self, name: str) -> Bundle:
        """Return the model called `name` or `name@version`, the default one for "". Raises NotFound."""
        if not name:
            return self.default
        model = self._by_name.get(name)
        if model is None:
            there = ", ".join(full_name(bundle) for bundle in self.ordered)
            raise NotFound(f"there is no model {quoted(name)}; there are: {there}")
        return model

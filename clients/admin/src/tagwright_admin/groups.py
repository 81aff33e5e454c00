"""A group of commands that does something by itself: `tags`, and `tags list` for short where no command follows."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class ListGroup(TyperGroup):
    """What follows the group's name and is none of its commands goes to its `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` in front where it is left out."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)

"""`tagwright-server`: settings in, a serving process out."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tagwright_server.errors import StartupError
from tagwright_server.settings import load


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns the exit code: 0 after a graceful stop, 2 where it cannot start."""
    try:
        settings = load(sys.argv[1:] if argv is None else argv)
        from tagwright_server import app  # late: --help need not wait for it

        return app.serve(settings)
    except StartupError as err:
        print(f"tagwright-server: {err}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

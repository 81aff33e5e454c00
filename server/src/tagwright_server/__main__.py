"""`tagwright-server`: settings in, a serving process out; `admin`, `backup`, `check` and the like do one thing each."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tagwright_server.errors import StartupError
from tagwright_server.options import load


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns the exit code: 0 after a graceful stop, 2 where it cannot start."""
    words = sys.argv[1:] if argv is None else argv
    try:
        if words and words[0] == "admin":
            from tagwright_server import local  # late, both: --help need not wait for them

            return local.main(words[1:])
        if words and words[0] in {"backup", "restore", "check", "rebuild-index"}:
            from tagwright_server import maintenance

            return maintenance.main(words)
        settings = load(words)
        # Before numpy is there. Its products are small here, and threads of one that wait for each other spin on the
        # cores that decode and look at photos: beside an upload that was more than half of the time of judging tags.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from tagwright_server import app

        return app.serve(settings)
    except StartupError as err:
        print(f"tagwright-server: {err}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # at a prompt; a server that serves has its own way to stop
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""Where the `tagwright` command begins: makes the terminal safe to write to, then hands over to the commands."""

from __future__ import annotations

import io
import os
import sys

_INTERRUPTED = 130  # as in `connection`, which is not imported yet when it is needed


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    # grpc's own lines on standard error: what matters in them is in our errors. Read when grpc is imported, so later.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from tagwright_admin.commands import app
    except KeyboardInterrupt:  # it takes a moment, and nothing is begun yet
        sys.exit(_INTERRUPTED)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name or a bar that the terminal's encoding lacks is shown as \xNN instead of ending the run.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except BrokenPipeError:  # as in `tagwright tag photos | head`: whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at exit
        sys.exit(1)


if __name__ == "__main__":
    main()

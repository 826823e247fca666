"""The command line: one verb per arrow of the benchmark, each usable without the workflow."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: a UserError is one line and exit code 1, and so is what the system refuses."""
    from xmodbench.errors import UserError

    try:
        from xmodbench.cli.app import app
    except ModuleNotFoundError as error:
        print(f"xmodbench: error: '{error.name}' is not installed here; install xmodbench with pip", file=sys.stderr)
        sys.exit(1)
    try:
        app()
    except UserError as error:
        problem = error
    except OSError as error:
        problem = UserError(error.strerror or str(error), error.filename or "output")
    else:
        return
    print(f"xmodbench: error: {problem}", file=sys.stderr)
    sys.stdout = None  # what it still holds might be refused once more
    sys.exit(1)

"""The command line: one verb per arrow of the benchmark, each usable without the workflow."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Entry point: a UserError is one line and exit code 1, and so is what the system refuses."""
    from xmodbench.errors import UserError, said
    from xmodbench.plan.job_log import begin_log, end_log
    from xmodbench.plan.lifeline import end_with_starter

    try:
        from xmodbench.cli.app import app
    except ModuleNotFoundError as error:
        print(f"xmodbench: error: '{error.name}' is not installed here; install xmodbench with pip", file=sys.stderr)
        sys.exit(1)
    # as Ctrl-C does it, so that what a job has open is closed and its temporary folders are removed
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    end_with_starter()
    logged = begin_log()
    try:
        app()
    except SystemExit as done:  # how typer ends
        if logged and done.code in (0, None):
            end_log()
        raise
    except UserError as error:
        problem = str(error)
    except OSError as error:  # what the system refuses is no fault of this package
        problem = said(error)
    else:
        return
    print(f"xmodbench: error: {problem}", file=sys.stderr)
    sys.stdout = None  # what it still holds might be refused once more
    sys.exit(1)

"""The command line: one verb per arrow of the benchmark, each usable without the workflow."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: a UserError is one line and exit code 1."""
    from xmodbench.errors import UserError
    from xmodbench.plan.lifeline import end_with_snakemake

    try:
        from xmodbench.cli.app import app
    except ModuleNotFoundError as error:
        print(f"xmodbench: error: '{error.name}' is not installed here; install xmodbench with pip", file=sys.stderr)
        sys.exit(1)
    end_with_snakemake()
    try:
        app()
    except UserError as error:
        print(f"xmodbench: error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # of the file system: no place, no right, no space
        if error.filename is None:
            raise
        print(f"xmodbench: error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)

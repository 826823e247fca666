"""``python -m xmodbench``, for environments that have the package's dependencies but not its console script."""

from xmodbench.cli import main

main()

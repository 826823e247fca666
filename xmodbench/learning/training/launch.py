"""Several processes that train: ``python -m xmodbench.learning.training.launch --processes 4 --device auto xmodbench ...``.

What torchrun is, with a GPU of its own held for each process before any of them starts: processes that each waited for one
would wait for each other.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from xmodbench.devices import job_gpus, visible_gpus
from xmodbench.errors import UserError
from xmodbench.progress import Progress


def main(argv: Sequence[str] | None = None) -> None:
    """Start the processes and wait for them; ends with torchrun's exit code."""
    given = _parser().parse_args(argv)
    try:
        _take_gpus(given.processes, given.device)
    except UserError as error:
        sys.exit(f"xmodbench: error: {error}")
    from torch.distributed import run  # brings torch along

    run.main(["--standalone", "--nproc_per_node", str(given.processes), "-m", given.module, *given.arguments])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--device", required=True, choices=("auto", "cpu", "cuda"))
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _take_gpus(processes: int, device: str) -> None:
    """Make a GPU per process visible to them, where there are any, and hold them for this process's life."""
    if device != "cpu" and visible_gpus():
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(job_gpus(processes, Progress()))


if __name__ == "__main__":
    main()

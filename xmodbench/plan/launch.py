"""Several processes that train: ``python -m xmodbench.plan.launch --processes 4 --device auto xmodbench train ...``.

What torchrun is, with a GPU of its own held for each process before any of them starts: processes that each waited for one
would wait for each other. On several nodes of a Slurm job it starts itself once on each.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import sys
from collections.abc import Sequence

from xmodbench.devices import job_gpus, visible_gpus
from xmodbench.errors import UserError
from xmodbench.plan.lifeline import STARTED_BY
from xmodbench.progress import Progress

MODULE = "xmodbench.plan.launch"


def main(argv: Sequence[str] | None = None) -> None:
    """Start the processes and wait for them; ends with torchrun's exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    given = _parser().parse_args(words)
    try:
        if given.nodes > 1 and given.meet is None:
            _on_nodes(given, words)
        processes = _take_gpus(given.processes, given.nodes, given.device)
    except UserError as error:
        sys.exit(f"xmodbench: error: {error}")
    from torch.distributed import run  # brings torch along

    run.main(
        [*_meeting(given.nodes, given.meet), "--nproc_per_node", str(processes), "-m", given.module, *given.arguments]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, required=True, help="on all nodes together")
    parser.add_argument("--device", required=True, choices=("auto", "cpu", "cuda"))
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="on each node")
    parser.add_argument("--meet", help="host:port where the nodes' processes meet; set for each node")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _take_gpus(processes: int, nodes: int, device: str) -> int:
    """Make a GPU per process visible to them, where there are any, and hold them for this process's life.

    Returns how many processes this node gets: an even share, or where there are GPUs as many as the scheduler gave it, which
    need not be the same on every node.
    """
    if device == "cpu" or not visible_gpus():
        return processes // nodes
    here = processes if nodes == 1 else len(visible_gpus())
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(job_gpus(here, Progress()))
    return here


def _meeting(nodes: int, meet: str | None) -> list[str]:
    """Torchrun's options about the other nodes."""
    if meet is None:
        return ["--standalone"]
    host, _, port = meet.rpartition(":")
    rank = os.environ["SLURM_NODEID"]
    return ["--nnodes", str(nodes), "--node_rank", rank, "--master_addr", host, "--master_port", port]


def _on_nodes(given: argparse.Namespace, words: list[str]) -> None:
    """Become the program that starts this one on every node of the scheduler's job.

    Raises:
        UserError: it is none of Slurm's.
    """
    if "SLURM_JOB_ID" not in os.environ:
        fix = "run with `--workflow-profile profiles/slurm`, or set `nodes: 1`"
        raise UserError("only a job of Slurm's can start processes on several nodes", "compute.nodes", fix)
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    os.environ.pop(STARTED_BY, None)  # a process of this node: the others would miss it, and end
    nodes = [f"--nodes={given.nodes}", f"--ntasks={given.nodes}", "--ntasks-per-node=1"]
    own = [sys.executable, "-m", MODULE, "--meet", f"{platform.node()}:{port}", *words]
    os.execvp("srun", ["srun", *nodes, f"--cpus-per-task={given.threads}", *own])


if __name__ == "__main__":
    main()

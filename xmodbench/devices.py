"""Which processor a job runs on, how precisely it computes there, and one job per GPU.

Snakemake counts GPUs but hands out no device ids, and any ``--resources`` on its command line drops the default profile's
count; so the jobs of one machine agree among themselves through file locks.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from xmodbench.errors import UserError
from xmodbench.progress import Progress

if TYPE_CHECKING:
    import torch

_held: list[IO] = []  # a lock lives as long as its job's process


def job_environment(asked: str, threads: int, progress: Progress) -> dict[str, str]:
    """Variables for a job's process: its threads, and the free GPU that was waited for as the only visible one.

    Where a launcher started several processes, it has chosen a GPU for each (``LOCAL_RANK``), and none is waited for: jobs
    that each held some and waited for more would wait for ever. The lock is this process's and lives as long.
    """
    found = {"OMP_NUM_THREADS": str(threads)}
    if asked == "cpu" or not (ids := visible_gpus()):
        return found
    found["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # deterministic matrix products
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        found["CUDA_VISIBLE_DEVICES"] = claim(ids, lock_folder(), progress)
    return found


def resolve_device(asked: str, tf32: bool = False) -> str:
    """``"cpu"`` or ``"cuda"`` for ``auto|cpu|cuda``; torch is asked only where there may be a GPU.

    A GPU is made to keep single precision: left alone, torch lets convolutions round what they multiply to the 10 bits of
    TF32 where there is hardware for it.

    Args:
        tf32: let convolutions and matrix products round so.

    Raises:
        UserError: ``cuda`` was asked for and torch sees none, or something else was.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise UserError(f"'{asked}' is no device", "--device", "give auto, cpu or cuda")
    if asked == "cpu" or (asked == "auto" and not visible_gpus() and not Path("/dev/kfd").exists()):
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        if asked == "cuda":
            raise UserError("no CUDA device here", "compute.device", "use `auto` or `cpu`")
        return "cpu"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    return "cuda"


def handed(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """A tensor of the CPU on a device, without waiting for it: CUDA copies only memory that stays in place meanwhile."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)


def lock_folder() -> Path:
    """Where the locks of this machine's jobs are, one set per user."""
    folder = Path(tempfile.gettempdir()) / f"xmodbench-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


def visible_gpus() -> list[str]:
    """Ids of the GPUs this job may use, without initialising CUDA (which would fix the choice)."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [item for item in listed.split(",") if item not in ("", "-1", "NoDevFiles")]
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))


def claim(ids: list[str], folder: Path, progress: Progress, poll_s: float = 2.0) -> str:
    """Lock the first free of the GPUs ``ids`` for this process's life; wait while all are taken."""
    waiting = False
    while True:
        for gpu in ids:
            handle = open(folder / gpu, "w")  # noqa: SIM115 (held open: closing it gives the lock back)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                continue
            _held.append(handle)
            return gpu
        if not waiting:
            progress.say(f"waiting for a free GPU (of {', '.join(ids)})")
            waiting = True
        time.sleep(poll_s)

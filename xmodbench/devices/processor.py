"""Which processor a job runs on, and how precisely it computes there."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.commands import command
from xmodbench.devices.gpus import VISIBLE, job_gpus, visible_gpus
from xmodbench.errors import UserError
from xmodbench.progress import Progress

if TYPE_CHECKING:
    import torch


def job_environment(asked: str, threads: int, progress: Progress) -> dict[str, str]:
    """Variables for a job's process: its threads, and the free GPU that was waited for as the only visible one.

    Where a launcher started several processes (`xmodbench.plan.launch`), it holds a GPU for each.
    """
    found = {"OMP_NUM_THREADS": str(threads)}
    if asked == "cpu" or not visible_gpus():
        return found
    found["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # deterministic matrix products
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        found[VISIBLE] = job_gpus(1, progress)[0]
    return found


def resolve_device(asked: str, tf32: bool = False, promised: int = 0) -> str:
    """``"cpu"`` or ``"cuda"`` for ``auto|cpu|cuda``; torch is asked only where there may be a GPU.

    A GPU is made to keep single precision: left alone, torch lets convolutions round what they multiply to the 10 bits of
    TF32 where there is hardware for it.

    Args:
        tf32: let convolutions and matrix products round so.
        promised: GPUs that this job was given: with some, ``auto`` never falls back on the CPU.

    Raises:
        UserError: ``cuda`` was asked for and torch sees none, GPUs were promised and it sees none, or something else was
            asked for.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise UserError(f"'{asked}' is no device", "--device", "give auto, cpu or cuda")
    if asked == "cpu" or not (asked == "cuda" or promised or visible_gpus() or Path("/dev/kfd").exists()):
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        if promised:
            given = "a GPU" if promised == 1 else f"{promised} GPUs"
            problem = f"this job was given {given}, and torch finds none on {platform.node()}"
            fix = (
                f"see what `nvidia-smi` and `{command('doctor')}` say in such a job; `compute.device: cpu` does without"
            )
            raise UserError(problem, "compute.device", fix)
        if asked == "cuda":
            raise UserError("no CUDA device here", "compute.device", "use `auto` or `cpu`")
        return "cpu"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    return "cuda"


def handed(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """A tensor of the CPU on a device, without waiting for it: CUDA copies only memory that stays in place meanwhile."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)

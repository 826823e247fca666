"""The machine: GPU, driver, versions; what cannot be found out is left out, so that something is always said.

python benchmarks/gpu_machine.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "triton", "numpy", "numba", "accelerate", "diffusers", "pydantic", "scikit-image", "torchmetrics")


def gpu() -> dict[str, object]:
    """What torch says of the first GPU; empty without one."""
    import torch

    if not torch.cuda.is_available():
        return {}
    facts = torch.cuda.get_device_properties(0)
    return {
        "gpu": facts.name,
        "gpus": torch.cuda.device_count(),
        "compute_capability": f"{facts.major}.{facts.minor}",
        "multiprocessors": facts.multi_processor_count,
        "memory_gib": round(facts.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def driver() -> dict[str, str]:
    """The driver's version."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.splitlines()
    return {"driver": answer[0].strip()} if answer else {}


def system() -> dict[str, object]:
    """Processor, kernel, Python and packages; whether the kernel can wall in a method's process."""
    found: dict[str, object] = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "compiler": shutil.which(os.environ.get("CXX", "g++")) is not None,
    }
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def wall() -> dict[str, object]:
    """Version of the kernel's Landlock; 0: none."""
    from xmodbench.isolation import landlock_version

    return {"landlock": landlock_version()}


def facts() -> dict[str, object]:
    """All of it; where a question fails, the error."""
    found: dict[str, object] = {}
    for ask in (gpu, driver, system, wall):
        try:
            found |= ask()
        except Exception as error:  # whatever a broken installation raises: one answer less
            found[f"{ask.__name__} error"] = f"{type(error).__name__}: {error}"[:200]
    return found


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write it into this file too, as the benchmarks do")
    given = parser.parse_args()
    rows = [[name, str(value)] for name, value in facts().items()]
    print("\n".join(f"{name}: {value}" for name, value in rows))
    if given.json:  # without the project's own helpers, which need what may be missing here
        tables = [{"title": "", "header": ["", "machine"], "rows": rows}]
        given.json.write_text(json.dumps({"heading": "", "tables": tables}), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Makes LMI maps with the Triton kernels in Triton's interpreter; run by test_lmi_triton in a process of its own.

python lmi_interpreted.py inputs.npz cases.json maps.npz
"""

from __future__ import annotations

import importlib
import json
import os
import sys

os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported

import numpy as np
import torch

from xmodbench.plugins import METHODS, find


def main(inputs: str, cases: str, maps: str) -> None:
    find(METHODS, "midiffusion")
    lmi_triton = importlib.import_module("xmodbench_methods.midiffusion.lmi_triton")
    windows = importlib.import_module("xmodbench_methods.midiffusion.lmi_windows")
    for name in ("common", "mosaic", "any"):
        kernels = importlib.import_module(f"xmodbench_methods.midiffusion.lmi_triton_{name}")
        for part, function in list(vars(kernels).items()):
            if part.startswith("_") and hasattr(function, "fn"):
                setattr(kernels, part, function.fn)  # the interpreter takes its time over every call of a kernel's own
    images, found = np.load(inputs), {}
    for name, options in json.loads(cases).items():
        levels = (torch.from_numpy(np.trunc(255 * images[f"{name}_{side}"])) for side in "sy")
        found[name] = lmi_triton.fused_map(*levels, windows.LmiOptions(**options)).numpy()
    np.savez(maps, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])

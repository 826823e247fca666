"""Whether a kernel works here: it is compiled on the user's machine, for a driver and compiler the tests have not seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch


def works(kernel: str, answer: str, made: Callable[[], torch.Tensor], want: torch.Tensor, tolerance: float) -> bool:
    """Try a kernel against plain tensors; warns where these are to be used in its place.

    Args:
        kernel: its name, for the warning.
        answer: what it makes, for the warning.
        made: runs it.
        want: what it has to make, to within `tolerance`.
    """
    try:
        worst = (made() - want).abs().max().item()
        problem = f"its {answer} off by {worst:.1e}" if not worst < tolerance else None
    except Exception as error:  # compilers and drivers raise all kinds
        problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if problem:
        warnings.warn(f"the Triton {kernel} is not used, plain tensors are ({problem})", stacklevel=5)
    return problem is None

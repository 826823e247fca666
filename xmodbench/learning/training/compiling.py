"""torch.compile with one clear line where it cannot work."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TypeVar, cast

import torch
from torch import nn

from xmodbench.errors import UserError

Network = TypeVar("Network", bound=nn.Module)


def compiled(network: Network) -> Network:
    """`network`, compiled when it is first used; both share their weights.

    Raises:
        UserError: there is no C++ compiler, which torch.compile needs for a CPU and for a GPU.
    """
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        fix = "install it, name another with the variable CXX, or leave `compile` off"
        raise UserError(f"torch.compile needs a C++ compiler, there is no '{compiler}'", "settings.compile", fix)
    return cast(Network, torch.compile(network))  # answers to the same names

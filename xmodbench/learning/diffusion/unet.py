"""`diffusers.UNet2DModel`, without the models that importing it by its name brings along."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

# Their __init__ imports every transformer and every U-Net of diffusers, scipy and torchvision with them
_PACKAGES = ("models.transformers", "models.unets")
# The compiler: diffusers marks transformer blocks for it, and goes on without where it cannot be imported
_COMPILER = "torch._dynamo"


@contextmanager
def _only_what_is_named() -> Iterator[None]:
    """Let submodules of `_PACKAGES` be imported without their packages' ``__init__``, and diffusers without the compiler.

    Nothing of it lasts: whoever imports these packages afterwards gets all of them, with the same classes.
    """
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None and spec.submodule_search_locations is not None
    root = spec.submodule_search_locations[0]
    placed: list[str] = []
    for package in _PACKAGES:
        name = f"diffusers.{package}"
        if name not in sys.modules:
            sys.modules[name] = bare = types.ModuleType(name)
            bare.__path__ = [f"{root}/{package.replace('.', '/')}"]
            placed.append(name)
    if _COMPILER not in sys.modules:
        sys.modules[_COMPILER] = None  # type: ignore[assignment]  # Python's way to say that it cannot be imported
        placed.append(_COMPILER)
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


with _only_what_is_named():
    from diffusers.models.unets.unet_2d import UNet2DModel

__all__ = ["UNet2DModel"]

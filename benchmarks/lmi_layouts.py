"""The LMI maps that `lmi.py` measures: ours by its implementations, and the naive layout."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import suppress

import torch
from naive_lmi import naive_lmi

from xmodbench.plugins import METHODS, find


def plugin(module: str):
    """A module of the plugin."""
    find(METHODS, "midiffusion")  # makes the plugin's modules importable
    return importlib.import_module(f"xmodbench_methods.midiffusion.{module}")


def ours(reference: torch.Tensor, sliding: torch.Tensor, window: int = 3, path: str = "auto") -> torch.Tensor:
    """The plugin's map with the released options."""
    lmi = plugin("lmi")
    return lmi.lmi_map(reference, sliding, lmi.LmiOptions(normalise=True, window=window), path=path)


def path_of(device: str, window: int) -> str:
    """Which implementation makes our map."""
    lmi = plugin("lmi")
    return lmi.path_of(device, lmi.LmiOptions(normalise=True, window=window))


def off_float64(pair: tuple[torch.Tensor, ...], window: int) -> float:
    """The largest difference of the first map from that of plain tensors in float64 on the CPU."""
    exact = ours(*(image[:1].cpu().double() for image in pair), window, "torch")
    return (ours(*pair, window)[:1].cpu() - exact).abs().max().item()


LAYOUTS = {"naive": lambda s, y, window: naive_lmi(s, y), "ours": ours}


def inputs(size: int, kind: str, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth reference in [0, 1] with flat borders, and itself (`clean`) or noise (`noisy`) to slide over it."""
    torch.manual_seed(0)
    coarse = torch.rand(1, 1, size // 8, size // 8)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    smooth[..., : size // 6, :] = 0
    sliding = smooth if kind == "clean" else torch.randn(1, 1, size, size)
    return smooth.to(device), sliding.to(device)


def kernels() -> Iterator[tuple]:
    """Registers and spilled bytes of the Triton kernels that have run; none where Triton does not say."""
    for module, name in ((plugin("lmi_triton_mosaic"), "mosaic_of_three"), (plugin("lmi_triton_any"), "any_search")):
        with suppress(AttributeError, KeyError, IndexError, TypeError, RuntimeError):  # no public interface
            for caches in getattr(module, name).device_caches.values():
                for kernel in caches[0].values():
                    kernel._init_handles()
                    yield name, kernel.n_regs, kernel.n_spills

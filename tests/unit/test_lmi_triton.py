"""The fused Triton kernels: interpreted, against float64 and the released code; compiled; on a GPU where there is one."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from xmodbench.plugins import METHODS, find

sys.path.insert(0, str(Path(__file__).parent))
import lmi_reference

find(METHODS, "midiffusion")
from xmodbench_methods.midiffusion import lmi, lmi_torch  # noqa: E402
from xmodbench_methods.midiffusion.lmi import LmiOptions, lmi_map  # noqa: E402

triton = pytest.importorskip("triton", reason="no Triton for this platform")
GOLDEN = np.load(Path(__file__).parents[1] / "data" / "lmi_golden.npz")
RNG = np.random.default_rng(7)
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def crop(name: str, row: int, col: int, height: int = 3, width: int = 3) -> np.ndarray:
    return GOLDEN[f"in_{name}"][0, :, row : row + height, col : col + width]


def pair(*shape: int, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    return RNG.random(shape).astype(np.float32), RNG.normal(0.5, spread, shape).astype(np.float32)


def flat(level: float, height: int = 3, width: int = 3) -> np.ndarray:
    return np.full((1, height, width), level, np.float32)


CASES = {
    "golden_noise": (crop("smooth_a", 40, 70), crop("noise", 40, 70), {}),
    "golden_t300": (crop("phantom_src", 60, 30), crop("phantom_t300", 60, 30), {"normalise": False}),
    "batch": (*pair(2, 2, 2), {}),
    "reflect": (*pair(1, 1, 3), {"pad": "reflect"}),
    "replicate": (*pair(1, 3, 1), {"pad": "replicate", "normalise": False}),
    "one_pixel": (*pair(1, 1, 1), {}),
    "one_row": (*pair(1, 1, 3), {"normalise": False}),
    "other_bins": (*pair(1, 1, 2), {"bins": 16, "bandwidth": 12.0}),
    "base_e": (*pair(1, 1, 1), {"log_base": float(np.e), "normalise": False}),
    "saturated": (pair(1, 1, 3)[0], flat(-0.31, 1, 3), {}),
    "near_saturation": (pair(1, 2, 1)[0], flat(1.22, 2, 1), {}),
    "flat_and_saturated": (flat(0.5), flat(2.0), {}),
    "flat_and_noise": (flat(0.5), pair(1, 3, 3, spread=0.1)[1], {}),
    "shift": (*pair(1, 2, 1), {"search": "shift"}),
    "shift_of_two": (*pair(1, 1, 1), {"search": "shift", "radius": 2, "pad": "reflect", "normalise": False}),
    "window_of_five": (*pair(1, 1, 1), {"window": 5, "search": "shift", "normalise": False}),
    "two_tiles": (*pair(1, 1, 1), {"bins": 40, "search": "shift"}),
}


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> dict[str, np.ndarray]:
    """What the interpreter makes of all cases."""
    folder = tmp_path_factory.mktemp("interpreted")
    inputs = {f"{name}_{side}": case[i] for name, case in CASES.items() for i, side in enumerate("sy")}
    np.savez(folder / "inputs.npz", **inputs)
    script = Path(__file__).with_name("lmi_interpreted.py")
    cases = json.dumps({name: case[2] for name, case in CASES.items()})
    command = [sys.executable, script, folder / "inputs.npz", cases, folder / "maps.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(np.load(folder / "maps.npz"))


@pytest.mark.parametrize("name", CASES)
def test_interpreted_map_equals_float64(maps, name):
    s, y, options = CASES[name]
    levels = (torch.from_numpy(np.trunc(255 * image)).double() for image in (s, y))
    want = lmi_torch.reduced_map(*levels, LmiOptions(**options)).numpy()
    np.testing.assert_allclose(maps[name], want, atol=5e-6, rtol=0)


@pytest.mark.parametrize("name", ["batch", "one_row", "flat_and_saturated", "shift", "window_of_five"])
def test_interpreted_map_equals_the_definition(maps, name):
    s, y, options = CASES[name]
    options = {{"window": "p"}.get(key, key): value for key, value in options.items()}
    for one_s, one_y, found in zip(s, y, maps[name], strict=True):
        np.testing.assert_allclose(found, lmi_reference.lmi(one_s, one_y, **options), atol=5e-6, rtol=0)


@pytest.mark.parametrize(("name", "key", "row", "col"), [("noise", "norm_2", 40, 70), ("t300", "raw_6", 60, 30)])
def test_interpreted_map_equals_the_released_code(maps, name, key, row, col):
    want = GOLDEN[f"sim_{key}"][0, 0, row + 1 : row + 2, col + 1 : col + 2]
    assert want.max() > 0.1
    np.testing.assert_allclose(maps[f"golden_{name}"][0, 1:-1, 1:-1], want, atol=5e-6, rtol=0)


def test_constant_reference_is_zero_unless_saturated(maps):
    assert abs(maps["flat_and_noise"][0, 1, 1]) < 1e-6
    assert maps["flat_and_saturated"][0, 1, 1] == pytest.approx(2, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "flags", "registers"),
    [
        ("mosaic_of_three", {"ZERO_PAD": True, "NORMALISE": True}, 128),  # so that 16 warps are at work in a processor
        ("mosaic_of_three", {"ZERO_PAD": False, "NORMALISE": True}, 128),  # reflect and replicate padding
        ("mosaic_of_three", {"ZERO_PAD": True, "NORMALISE": False}, 128),
        ("any_search", {"SIDE": 5, "TILES": 4, "NORMALISE": True}, 128),
        ("any_search", {"SIDE": 3, "TILES": 1, "NORMALISE": False}, 128),
    ],
)
def test_kernels_compile_for_an_h100_without_spills_or_conversions(tmp_path, name, flags, registers):
    """With whatever Triton is installed: the locked one, or that of the machine with the GPU."""
    kernels = importlib.import_module(f"xmodbench_methods.midiffusion.lmi_triton_{name.split('_')[0]}")
    compiled = compile_kernel(getattr(kernels, name), flags)
    assert "lg2.approx.ftz.f32" in compiled.asm["ptx"]
    assert ".local" not in compiled.asm["ptx"] and compiled.metadata.shared == 0
    assert "convert_layout" not in compiled.asm["ttgir"]
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    tool = triton.knobs.nvidia.cuobjdump.path
    usage = subprocess.run([tool, "-res-usage", binary], capture_output=True, text=True, check=True).stdout
    used = re.search(r"REG:(\d+) STACK:0 SHARED:0 LOCAL:0 ", usage)
    assert used and int(used[1]) <= registers, usage


def compile_kernel(kernel, flags):
    """Compile for compute capability 9.0; needs no GPU."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    integers = {"ref", "slide", "first", "last", "ref_rows", "ref_cols", "rows", "cols"}
    kinds = {"height": "i32", "width": "i32", "offsets": "i32", "eps": "fp32", "per_bit": "fp32"}
    signature = {arg: kinds.get(arg, "*i32" if arg in integers else "*fp32") for arg in kernel.arg_names}
    signature.update(dict.fromkeys(flags, "constexpr"))
    constants = {(kernel.arg_names.index(flag),): value for flag, value in flags.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    options = {"num_warps": 1, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def test_a_kernel_that_fails_or_is_wrong_is_not_used(monkeypatch):
    """On a CPU the kernel cannot be launched at all, so it stands for a GPU on which it does not work."""
    lmi._trusted.cache_clear()
    with pytest.warns(UserWarning, match="Triton LMI kernel is not used"):
        assert not lmi._trusted(torch.device("cpu"), LmiOptions())
    lmi._trusted.cache_clear()
    monkeypatch.setattr(lmi, "_fused", lambda s, y, options: lmi_torch.reduced_map(s, y, options) + 1e-3)
    with pytest.warns(UserWarning, match="off by 1.0e-03"):
        assert not lmi._trusted(torch.device("cpu"), LmiOptions())
    lmi._trusted.cache_clear()
    monkeypatch.setattr(lmi, "_fused", lmi_torch.reduced_map)
    assert lmi._trusted(torch.device("cpu"), LmiOptions())
    lmi._trusted.cache_clear()


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("index", range(7))
def test_gpu_map_equals_the_released_code(index, normalise):
    names = str(GOLDEN["pairs"][index]).split("|")
    images = [torch.from_numpy(GOLDEN[f"in_{name}"]).cuda() for name in names]
    want = torch.from_numpy(GOLDEN[f"sim_{'norm' if normalise else 'raw'}_{index}"])
    found = lmi_map(*images, normalise=normalise, path="triton").cpu()
    torch.testing.assert_close(found, want, atol=5e-6, rtol=0)


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize(
    "options",
    [
        *({"pad": pad, "search": search} for pad in ("zero", "reflect", "replicate") for search in ("mosaic", "shift")),
        {"window": 5},
        {"window": 5, "bins": 125, "search": "shift", "radius": 2},
    ],
)
def test_gpu_map_equals_the_cpu_map(options):
    s, y = (torch.from_numpy(image)[:, None] for image in pair(3, 33, 21))
    found = lmi_map(s.cuda(), y.cuda(), path="triton", **options).cpu()
    torch.testing.assert_close(found, lmi_map(s, y, **options), atol=5e-6, rtol=0)


@pytest.mark.gpu
@cuda
def test_gpu_map_needs_memory_for_the_images_only():
    s, y = (torch.rand(16, 1, 128, 128, device="cuda") for _ in range(2))
    lmi_map(s, y)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    lmi_map(s, y)
    assert torch.cuda.max_memory_allocated() - before < 10 * s.numel() * s.element_size()

"""What is measured on a GPU, most important first, and how small it is made for a rehearsal; the standard library alone."""

from __future__ import annotations

import sys
from pathlib import Path

from gpu_run import Part

FOLDER = Path(__file__).resolve().parent
MACHINE = "machine"


def parts(device: str, tiny: bool, bundle: Path, out: Path) -> list[Part]:
    """All parts for a device; limits of the full ones add up to more than the budget, reserves do not.

    Args:
        device: ``cuda`` or ``cpu``.
        tiny: the smallest sizes at which everything still runs.
        bundle: what ``make gpu-bundle`` made.
        out: where pictures go.
    """
    chosen = _tiny() if tiny else _full()
    heads = bundle / "data" / ("sim_ixi_64" if tiny else "sim_ixi_128")
    found = []
    for name, title, script, words, limit, reserve in chosen:
        command = [sys.executable, str(FOLDER / f"{script}.py"), *words.split(), "--json", "{json}"]
        if script == "gpu_heads":
            command += ["--data", str(heads), "--out", str(out)]
        if script == "lmi":
            command += ["--devices", device]
        elif script != "gpu_machine":
            command += ["--device", device]
        found.append(Part(name, title, tuple(command), limit, reserve))
    return found


TESTS, LMI, SAMPLING, TRAINING = "tests", "lmi", "sampling", "training"
STYLEGAN, INVERSION, GAN, HEADS = "stylegan2", "inversion", "gan", "heads"
OTHERS = {
    SAMPLING: f"{SAMPLING}_compiled",
    TRAINING: f"{TRAINING}_compiled",
    STYLEGAN: f"{STYLEGAN}_fp32",
    GAN: f"{GAN}_bf16",
}
"""Parts with further rows of the same table, apart from them: compiling takes long, and other arithmetic matters less."""
TITLES = {
    MACHINE: "Machine",
    TESTS: "Tests that need a GPU",
    LMI: "LMI maps",
    SAMPLING: "Sampling against the released recipe",
    OTHERS[SAMPLING]: "Sampling, compiled",
    TRAINING: "Training of MIDiffusion",
    OTHERS[TRAINING]: "Training of MIDiffusion, compiled",
    STYLEGAN: "Training of StyleGAN2-ADA (published: 147 images/s at 128 px and 80 at 256 px on one A100)",
    OTHERS[STYLEGAN]: "Training of StyleGAN2-ADA in float32",
    INVERSION: "Inversion in StyleGAN2-ADA",
    GAN: "Training of CycleGAN, CUT and pix2pix",
    OTHERS[GAN]: "Training of CycleGAN in bf16",
    HEADS: "Training on simulated heads (not real data)",
}
SAMPLERS = "--samplers ddim:20 dpmpp_2m:20 ancestral:1000 --batch 64 256 --timed 20"
CASES = "--cases ddpm:128 ddpm:128:32 --steps 20 --brief"


def _full() -> list[tuple]:
    """Name, title, script, words, limit and reserve of each part for a GPU."""
    return [
        _part(MACHINE, "gpu_machine", "", 40),
        _part(TESTS, "gpu_tests", "--workers 4", 80),
        _part(LMI, "lmi", "--sizes 128 --windows 3 --maps 1 64 --repeats 20 --threads 8 --exact", 50),
        _part(SAMPLING, "sampling", f"--how weights bf16 bf16+eager plain {SAMPLERS}", 80),
        _part(OTHERS[SAMPLING], "sampling", f"--how weights-compiled {SAMPLERS}", 100),
        _part(TRAINING, "training", f"--how fp32 tf32 bf16+channels-last {CASES}", 60),
        _part(STYLEGAN, "stylegan2", "--only training --brief --precision fp16 --cases auto:128 auto:256", 60),
        _part(GAN, "gan", "--cases cyclegan:128 cut:128 pix2pix:128 --steps 10", 30),
        _part(INVERSION, "stylegan2", "--only inversion --cases auto:128 --repeats 1", 40),
        _part(OTHERS[TRAINING], "training", f"--how bf16+channels-last+compile {CASES}", 90),
        _part(HEADS, "gpu_heads", "--seconds {limit}", 240, 110),
        _part(OTHERS[STYLEGAN], "stylegan2", "--only training --brief --cases auto:128", 40, 25),
        _part(OTHERS[GAN], "gan", "--cases cyclegan:128 --steps 10 --precision bf16", 30),
    ]


def _tiny() -> list[tuple]:
    """The same for a rehearsal on a CPU, where nothing is compiled by torch; limits are for busy machines."""
    return [
        _part(MACHINE, "gpu_machine", "", 150),
        _part(TESTS, "gpu_tests", "", 150),
        _part(LMI, "lmi", "--sizes 16 --windows 3 --maps 1 2 --repeats 1 --threads 1 --exact", 150),
        _part(SAMPLING, "sampling", "--how plain weights --samplers ddim:20 --timed 1 --network small --size 16", 150),
        _part(OTHERS[SAMPLING], "sampling", "--how bf16 --samplers unipc:20 --timed 1 --network small --size 16", 150),
        _part(TRAINING, "training", "--how fp32 bf16+channels-last --cases short:16:2 --steps 1 --brief", 150),
        _part(STYLEGAN, "stylegan2", "--only training --brief --precision fp16 --cases short:32:2 --repeats 1", 150),
        _part(GAN, "gan", "--cases cyclegan:32:short --steps 1", 150),
        _part(INVERSION, "stylegan2", "--only inversion --cases short:32:2 --repeats 1", 150),
        _part(HEADS, "gpu_heads", "--seconds 1 --first 2 --sampling-steps 2 --threads 1", 240),
        _part(OTHERS[STYLEGAN], "stylegan2", "--only training --brief --cases short:32:2 --repeats 1", 150),
        _part(OTHERS[GAN], "gan", "--cases cyclegan:32:short --steps 1 --precision bf16", 150),
    ]


def _part(name: str, script: str, words: str, limit: float, reserve: float = 0.0) -> tuple:
    return name, TITLES[name], script, words, limit, reserve

"""StyleGAN2-ADA: images per second of training and steps per second of inversion, with what the machine could do.

    python benchmarks/stylegan2.py [--cases short:32 auto:64:1] [--device auto] [--precision fp32] [--repeats 3]
                                   [--only training] [--brief]

A case is ``preset:size`` or ``preset:size:batch`` (the preset's batches take long on a CPU). The parts of a step are
timed one by one and weighed by how often they come: generator and discriminator always, path length every 4th, R1 every 16th
step. ``--precision fp16`` is the published one: 16 bits at the four highest resolutions of the GAN, its penalties included,
activations clamped at 256; its encoder then trains in float32. Multiply-adds are counted while they run, and the peak is
that of a large matrix product in the same minute and arithmetic; inversion is always float32. The ratios are those of the
same step with fused weights and without the low-pass filters of the augmentation, in the same run, but with `--brief`.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from common import Results, add_json, add_options, arithmetic, machine, multiply_adds, peak, run_on, seconds

from xmodbench.learning.stylegan2.encoder_training import EncoderTraining
from xmodbench.learning.stylegan2.inversion import Inverter
from xmodbench.learning.stylegan2.perceptual import features_of
from xmodbench.learning.stylegan2.settings import StyleganSettings
from xmodbench.learning.stylegan2.training import PATH_INTERVAL, R1_INTERVAL, GanTraining
from xmodbench.plugins import Run
from xmodbench.plugins.check import phantom

TRAINING = (
    "case",
    "precision",
    "images/s",
    "GMAC/image",
    "share of peak",
    "fused / unfused",
    "low-pass / without",
    "encoder images/s",
)
PRECISIONS = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "fp16": {"num_fp16_res": 4, "conv_clamp": 256.0},
}
INVERSION = ("case", "images", "lambda_dom", "steps/s", "GMAC per image and step", "share of peak")


def parts(training: GanTraining) -> dict:
    """The parts of a step and how often each comes."""
    images = training.batches.at(0, training.device)
    return {
        training._train_generator: 1.0,
        functools.partial(training._train_discriminator, images): 1.0,
        training._path_length: 1 / PATH_INTERVAL,
        functools.partial(training._r1, images): 1 / R1_INTERVAL,
    }


def step_seconds(training: GanTraining, repeats: int) -> float:
    """Seconds of a mean step."""
    found = 0.0
    for part, share in parts(training).items():
        part()
        found += share * seconds(part, training.device, repeats)
    return found


def made(case: str, run, precision: str = "fp32", **changes) -> GanTraining:
    """The training of a case, half way up in augmentation."""
    preset, size, *batch = case.split(":")
    given = {"batch_size": int(batch[0])} if batch else {}
    settings = StyleganSettings(preset=preset, **PRECISIONS[precision], **given, **changes).resolved(int(size))
    torch.manual_seed(0)
    training = GanTraining(settings, phantom(32, 1), run)
    training.controller.p = 0.5
    return training


def training_row(case: str, run, precision: str, limit: float, given) -> list[str]:
    """A row of the first table."""
    training = made(case, run, precision)
    batch = training.settings.batch_size
    work = sum(share * multiply_adds(part) for part, share in parts(training).items()) / batch
    plain = step_seconds(training, given.repeats)
    ratios = ["-", "-"] if given.brief else variants(case, run, precision, plain, given.repeats)
    second = encoder_of(made(case, run, precision), run)
    second.step(0)
    encoder = seconds(lambda: second.step(1), run.device, given.repeats) / second.settings.encoder_batch
    return [
        *(case, precision, f"{batch / plain:.2f}", f"{work / 1e9:.2f}"),
        *(f"{100 * work * batch / plain / limit:.0f} %", *ratios, f"{1 / encoder:.2f}"),
    ]


def variants(case: str, run, precision: str, plain: float, repeats: int) -> list[str]:
    """Ratios of seconds: fused weights to unfused ones, with low-pass filters to without."""
    filtered = {
        low_pass: step_seconds(made(case, run, precision, low_pass=low_pass), repeats) for low_pass in (True, False)
    }
    training = made(case, run, precision)
    training.generator.synthesis.forward = functools.partial(training.generator.synthesis.forward, fused=True)
    return [f"{step_seconds(training, repeats) / plain:.2f}", f"{filtered[True] / filtered[False]:.2f}"]


def encoder_of(training: GanTraining, run) -> EncoderTraining:
    """The second phase, with batches of the first's size."""
    s = training.settings.model_copy(update={"encoder_batch": max(2, training.settings.batch_size)})
    features = features_of(s, training.discriminator).to(run.device).requires_grad_(False)
    training.average.requires_grad_(False)
    return EncoderTraining(s, training.average, training.discriminator, features, phantom(32, 1), run)


def inversion_rows(case: str, run, limit: float, repeats: int) -> Iterator[list[str]]:
    """Rows of the second table: one image, and a batch; with and without the regulariser."""
    second = encoder_of(made(case, run), run)
    for network in (second.encoder, second.generator, second.features):
        network.eval().requires_grad_(False)
    for count in (1, second.settings.batch_size):
        images = second.batches.at(0, run.device)[:count]
        for weight in (2.0, 0.0):
            work, step = inversion_step(second, images, weight, repeats)
            share = f"{100 * work / step / limit:.0f} %"
            yield [case, count, f"{weight:g}", f"{1 / step:.2f}", f"{work / count / 1e9:.2f}", share]


def inversion_step(second: EncoderTraining, images: torch.Tensor, weight: float, repeats: int) -> tuple[float, float]:
    """Multiply-adds and seconds of a step: of several less one, so that what surrounds the steps does not count.

    On a GPU of many, since a CUDA graph is captured first; its multiply-adds are counted without one.
    """

    def invert(steps: int, run: Run | None) -> Callable[[], object]:
        s = second.settings.model_copy(update={"lambda_dom": weight, "inversion_steps": steps})
        inverter = Inverter(second.generator, second.encoder, second.features, second.weight.item(), s, run)
        return functools.partial(inverter.invert, images)

    work = [multiply_adds(invert(steps, None)) for steps in (1, 6)]
    more = 5 if images.device.type == "cpu" else 100
    spent = [seconds(invert(steps, second.job), images.device.type, repeats) for steps in (1, 1 + more)]
    return (work[1] - work[0]) / 5, (spent[1] - spent[0]) / more


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", help="default: short:32, on a GPU auto:128 auto:256")
    add_options(parser, tuple(PRECISIONS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("training", "inversion"), help="one of the two tables")
    parser.add_argument("--brief", action="store_true", help="without the ratios")
    add_json(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = run_on(given.device, Path(folder), given.threads, quiet=True)
        cases = given.cases or (["auto:128", "auto:256"] if run.device == "cuda" else ["short:32"])
        used = "bf16" if given.precision == "fp16" else given.precision  # products of either 16 bits are as quick
        limits = {precision: peak(run.device, precision) for precision in dict.fromkeys((used, "fp32"))}
        products = (f"{arithmetic(run.device, name)} {limit / 1e9:.1f} GMAC/s" for name, limit in limits.items())
        heading = f"{machine(run.device, given.threads)}; matrix product in {', in '.join(products)}"
        results, limit = Results(heading, given.json), limits[used]
        if given.only != "inversion":
            results.table(TRAINING, (training_row(case, run, given.precision, limit, given) for case in cases))
        if given.only != "training":
            rows = (row for case in cases for row in inversion_rows(case, run, limits["fp32"], given.repeats))
            results.table(INVERSION, rows)


if __name__ == "__main__":
    main()

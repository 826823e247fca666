"""What the domain regulariser of the inversion does: with and without it, over the steps, as a table and a figure.

    python benchmarks/stylegan2_lambda.py --data data/heads64/sim_ixi --source pd --target t1 --work results/stylegan2_lambda

Trains the preset `short` on the target's training slices (minutes on one core; kept in `--work` and used again), inverts a
few test slices of the source, and of the target itself, and prints mean squared errors in [0, 1] to source and target.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from common import machine, method, run_on

from xmodbench.learning.stylegan2.batches import from_square, to_square
from xmodbench.learning.stylegan2.inversion import Inverter
from xmodbench.learning.stylegan2.model import Model
from xmodbench.learning.stylegan2.settings import InversionSettings
from xmodbench.plugins import TrainData
from xmodbench.store import SliceStore

MARKS = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
WEIGHTS = (2.0, 0.0)


def trained(data: Path, target: str, work: Path, run) -> Path:
    """Folder of the model, trained if it is not there yet; a training that was stopped goes on."""
    folder = work / "model"
    if not (folder / "model.json").is_file():
        learner = method("stylegan2_inversion", preset="short", checkpoint_s=60)
        learner.fit(TrainData(SliceStore(data / "train").array(target)[:, None]), run)
        folder.mkdir(parents=True, exist_ok=True)
        learner.save(folder)
    return folder


def inverted(folder: Path, images: np.ndarray, weight: float, steps: int, run) -> dict[int, np.ndarray]:
    """Images [N,1,H,W] after each of the marked steps; all in one batch, unlike in the benchmark, to save time."""
    model = Model.load(folder, InversionSettings(lambda_dom=weight, inversion_steps=steps), run)
    s = model.settings
    inverter = Inverter(model.generator, model.encoder, model.features, s.perceptual_weight, s)
    ticks = iter(run.progress.track(range(steps), f"lambda_dom {weight:g}", total=steps))
    x = to_square(torch.from_numpy(images).to(run.device), s.resolution)
    kept = {mark for mark in MARKS if mark < steps} | {steps}
    _, found = inverter.invert(x, kept, lambda: next(ticks))
    return {step: from_square(square, *images.shape[2:]).cpu().numpy() for step, square in found.items()}


def error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared error."""
    return float(np.mean((a - b) ** 2, dtype=np.float64))


def draw(found: dict, errors: dict, source: np.ndarray, target: np.ndarray, title: str, out: Path) -> None:
    """Two rows of one slice over the steps, and the mean errors beside them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = list(next(iter(found.values())))
    shown = [steps[0], *[step for step in (20, 100) if step in steps[1:-1]], steps[-1]]
    figure = pyplot.figure(figsize=(11, 3.6), layout="constrained")
    pictures, curves = figure.subfigures(1, 2, width_ratios=(len(shown) + 1, 3.2))
    axes = pictures.subplots(2, len(shown) + 1)
    for row, weight in enumerate(WEIGHTS):
        frame = (source, target)[row][0, 0]
        for axis, image, name in zip(
            axes[row],
            [frame, *(found[weight][step][0, 0] for step in shown)],
            [("source", "true target")[row], *(f"{step} steps" for step in shown)],
            strict=True,
        ):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set_title(name, fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
        axes[row][1].set_ylabel(f"lambda_dom {weight:g}", fontsize=8)
    axis = curves.subplots()
    for weight, style in zip(WEIGHTS, ("-", "--"), strict=True):
        for name, colour in (("source", "tab:blue"), ("target", "tab:orange")):
            values = errors[weight][name]
            axis.plot(steps, values, style, color=colour, label=f"to {name}, lambda_dom {weight:g}")
    axis.set_xscale("symlog", linthresh=10)
    axis.set_xlabel("steps")
    axis.set_ylabel("mean squared error")
    axis.legend(fontsize=7)
    figure.suptitle(title, fontsize=9)
    figure.savefig(out, dpi=100)


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a prepared data set")
    parser.add_argument("--source", default="pd")
    parser.add_argument("--target", default="t1")
    parser.add_argument("--work", type=Path, required=True, help="folder for the model")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="figure")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    run = run_on(arguments.device, arguments.work, arguments.threads)
    folder = trained(arguments.data, arguments.target, arguments.work, run)
    test = SliceStore(arguments.data / "test")
    rows = np.linspace(0, len(test.ids) - 1, arguments.images).round().astype(int)
    source, target = (np.array(test.array(name)[rows, None]) for name in (arguments.source, arguments.target))
    found = {weight: inverted(folder, source, weight, arguments.steps, run) for weight in WEIGHTS}
    own = inverted(folder, target, WEIGHTS[0], arguments.steps, run)
    print(
        f"{machine(run.device, arguments.threads)}; {len(rows)} slices; source to target {error(source, target):.4f}\n"
    )
    print(
        "| step | " + " | ".join(f"lambda_dom {w:g}: to source | to target" for w in WEIGHTS) + " | target inverted |"
    )
    print("|---|" + "---|" * (2 * len(WEIGHTS) + 1))
    errors = {
        weight: {
            name: [error(image, truth) for image in found[weight].values()]
            for name, truth in (("source", source), ("target", target))
        }
        for weight in WEIGHTS
    }
    for place, (step, image) in enumerate(own.items()):
        values = [errors[weight][name][place] for weight in WEIGHTS for name in ("source", "target")]
        print(f"| {step} | " + " | ".join(f"{value:.4f}" for value in (*values, error(image, target))) + " |")
    if arguments.out:
        simulated = "simulated " if test.manifest.get("simulated") else ""
        title = f"Inversion of {simulated}{arguments.source} in a generator of {arguments.target}, preset short"
        draw(found, errors, source, target, f"{title}, {len(rows)} slices", arguments.out)


if __name__ == "__main__":
    main()

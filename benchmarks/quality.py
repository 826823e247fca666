"""Quality of translations against what sampling them costs: MIDiffusion with every sampler, same model, same seeds.

    xmodbench acquire sim_ixi && xmodbench prepare sim_ixi --raw raw/sim_ixi --out data/sim_ixi
    python benchmarks/quality.py --data data/sim_ixi --source pd --target t1 --out results/quality

Trains a model on the training slices, unless `--model` names a folder, and translates test slices, spread evenly over the
subjects. Writes scores.csv (per image), quality.csv and quality.md (means with 95 % intervals over
subjects, also of the differences from the first sampler) and the figure quality.png. A sampler whose images are already in
the folder is not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from common import evaluations, machine, method, run_on, seconds, table

from xmodbench.files import atomic_file, read_json, write_json, write_text
from xmodbench.metrics.paired import score_images
from xmodbench.metrics.stats import between_subjects, subject_effects, t_interval
from xmodbench.plugins import Run, TrainData
from xmodbench.seeding import ImageGenerator
from xmodbench.store import SliceStore

SAMPLERS = (
    ("ancestral", 1000),
    ("ancestral", 100),
    ("ancestral", 20),
    ("ddim", 250),
    ("ddim", 100),
    ("ddim", 50),
    ("ddim", 20),
    ("ddim", 10),
    ("dpmpp_2m", 20),
    ("dpmpp_2m", 10),
    ("unipc", 20),
    ("unipc", 10),
    ("heun", 18),
    ("heun", 10),
)
METRICS = {"paper.ssim_src": "SSIM-Src", "paper.ssim_tar": "SSIM-Tar", "paper.psnr": "PSNR (dB)"}


def trained(arguments, run: Run) -> Path:
    """The model's folder."""
    if arguments.model:
        return arguments.model
    folder = arguments.out / "model"
    if not (folder / "model.json").is_file():
        model = method("midiffusion", preset=arguments.preset, iterations=arguments.iterations)
        images = SliceStore(arguments.data / "train").array(arguments.target)[:, None]
        model.fit(TrainData(images), run)
        folder.mkdir(parents=True, exist_ok=True)
        model.save(folder)
    return folder


def chosen(store: SliceStore, count: int) -> list[int]:
    """Rows of about `count` slices, evenly spread over each subject."""
    subjects = np.asarray(store.subjects)
    names = list(dict.fromkeys(store.subjects))
    each = max(1, round(count / len(names)))
    rows: list[int] = []
    for name in names:
        own = np.flatnonzero(subjects == name)
        rows += [int(own[place]) for place in np.linspace(0, len(own) - 1, each + 2).round().astype(int)[1:-1]]
    return rows


def translated(arguments, folder: Path, sampler: str, steps: int, sources: np.ndarray, ids, run: Run):
    """Images of one sampler and seconds per image, from the folder if they are there."""
    stem = arguments.out / f"{sampler}-{steps}"
    times = stem.with_suffix(".json")
    if not times.is_file():
        one = method("midiffusion", preset=arguments.preset, sampler=sampler, sampling_steps=steps)
        one.load(folder, run)
        if steps <= 100:
            one.translate(sources[:1], [ImageGenerator.of(0, "warm-up")])
        found: list[np.ndarray] = []
        generators = [ImageGenerator.of(run.seed, image_id) for image_id in ids]
        took = seconds(lambda: found.append(one.translate(sources, generators)), run.device)
        with atomic_file(stem.with_suffix(".npy")) as temporary, open(temporary, "wb") as handle:
            np.save(handle, found[0])
        write_json(times, {"seconds": took / len(sources), "device": run.device})
        run.progress.say(f"{sampler} {steps}: {took / len(sources):.2f} s per image")
    return np.load(stem.with_suffix(".npy")), read_json(times)["seconds"]


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per sampler: means with 95 % intervals, and of the differences from the first sampler."""
    groups = {key: group.sort_values("id") for key, group in scores.groupby(["sampler", "steps"], sort=False)}
    first, names = next(iter(groups.values())), list(METRICS)
    rows = []
    for (sampler, steps), group in groups.items():
        row = {"sampler": sampler, "steps": steps, "evaluations": evaluations(sampler, steps)}
        row["seconds"] = group["seconds"].iloc[0]
        row["times_faster"] = first["seconds"].iloc[0] / row["seconds"]
        for kind, values in (("", group), ("difference.", None)):
            kept = (group[names].to_numpy() - first[names].to_numpy()) if values is None else values[names].to_numpy()
            means, effects = subject_effects(kept, list(group["subject"]))
            ends = t_interval(means, between_subjects(effects))
            for name, mean, low, high in zip(names, means, *ends, strict=True):
                row |= {f"{kind}{name}": mean, f"{kind}{name}.low": low, f"{kind}{name}.high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def as_text(found: pd.DataFrame) -> str:
    """The summary as a Markdown table; a star where a mean lies inside the first sampler's interval."""
    first = found.iloc[0]

    def cell(row, name):
        inside = first[f"{name}.low"] <= row[name] <= first[f"{name}.high"]
        return f"{row[name]:.3f} [{row[f'{name}.low']:.3f}, {row[f'{name}.high']:.3f}]{'*' if inside else ''}"

    header = ("sampler", "steps", "evaluations", "s per image", "times faster", *METRICS.values())
    lines = []
    for _, row in found.iterrows():
        cost = (row["sampler"], row["steps"], row["evaluations"], f"{row['seconds']:.2f}", f"{row['times_faster']:.0f}")
        lines.append((*cost, *(cell(row, name) for name in METRICS)))
    return table(header, lines)


def draw(found: pd.DataFrame, path: Path, title: str) -> None:
    """Each metric against evaluations and against seconds per image, with intervals."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(METRICS), 2, figsize=(9, 9), sharey="row", sharex="col", layout="constrained")
    for row, (name, label) in zip(axes, METRICS.items(), strict=True):
        for axis, across in zip(row, ("evaluations", "seconds"), strict=True):
            axis.axhspan(found[f"{name}.low"][0], found[f"{name}.high"][0], color="0.92", zorder=0)
            for sampler, group in found.groupby("sampler", sort=False):
                group = group.sort_values(across)
                below, above = group[name] - group[f"{name}.low"], group[f"{name}.high"] - group[name]
                axis.errorbar(
                    group[across], group[name], [below, above], fmt="o-", ms=4, capsize=2, lw=1, label=sampler
                )
            axis.set_xscale("log")
            axis.grid(alpha=0.3)
        row[0].set_ylabel(label)
    axes[-1, 0].set_xlabel("network evaluations per image")
    axes[-1, 1].set_xlabel("seconds per image, LMI included")
    axes[0, 0].legend(fontsize=8)
    first = f"{found['sampler'][0]} with {found['steps'][0]} steps"
    figure.suptitle(f"{title}\nbars: 95 % over subjects; shaded: that of {first}", fontsize=10)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)
    plt.close(figure)


def main() -> None:
    """Translate, score, summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the stores train and test")
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--model", type=Path, help="a trained MIDiffusion of the target; else one is trained")
    parser.add_argument("--preset", default="short", help="of the model")
    parser.add_argument("--iterations", type=int, default=1500, help="of training")
    parser.add_argument(
        "--samplers", nargs="+", metavar="NAME:STEPS", help="instead of all; the first is compared with"
    )
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("results/quality"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    run = run_on(arguments.device, arguments.out / "state", arguments.threads)
    folder, store = trained(arguments, run), SliceStore(arguments.data / "test")
    rows = chosen(store, arguments.slices)
    ids = [store.ids[row] for row in rows]
    source, target = (store.array(name)[rows][:, None] for name in (arguments.source, arguments.target))
    parts = []
    samplers = [
        (name, int(steps)) for name, steps in (word.split(":") for word in arguments.samplers or [])
    ] or SAMPLERS
    for sampler, steps in sorted(samplers, key=lambda pair: evaluations(*pair)):
        images, took = translated(arguments, folder, sampler, steps, source, ids, run)
        scored = score_images(images[:, 0], target[:, 0], source[:, 0])
        facts = {"sampler": sampler, "steps": steps, "seconds": took, "id": ids}
        facts["subject"] = [store.subjects[row] for row in rows]
        parts.append(pd.DataFrame({**facts, **{name: scored[name] for name in METRICS}}))
    order = {pair: place for place, pair in enumerate(samplers)}
    parts.sort(key=lambda part: order[part["sampler"][0], part["steps"][0]])
    scores = pd.concat(parts, ignore_index=True)
    found = summary(scores)
    for frame, name in ((scores, "scores.csv"), (found, "quality.csv")):
        write_text(arguments.out / name, frame.to_csv(index=False))
    subjects = len(set(scores["subject"]))
    title = f"{arguments.source} to {arguments.target}, {len(rows)} slices of {subjects} subjects, "
    title += f"{source.shape[-1]} px, {machine(run.device, arguments.threads)}"
    write_text(arguments.out / "quality.md", f"{title}\n\n{as_text(found)}\n")
    draw(found, arguments.out / "quality.png", title)
    print(f"{title}\n\n{as_text(found)}")


if __name__ == "__main__":
    main()

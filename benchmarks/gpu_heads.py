"""Real training on simulated heads, through the verbs: MIDiffusion from train to score, with pictures.

    python benchmarks/gpu_heads.py --data build/gpu/data/sim_ixi_128 --out DIR [--seconds 240] [--device auto] [--json FILE]

First a training of `--first` steps with all that follows, so that there is something to show whatever comes; its speed says
how many steps the rest of `--seconds` has room for, and these are trained, translated and scored in the same way. Heads are
simulated: scores and ``heads.png`` (source, translation, target) show that learning works, never how well on real data.

Where a verb fails (the wall around a method's process may be in a driver's way), the same is done in this process, so that
there is a picture and it is known which of the two is at fault; the exit code still says that it failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from common import Results, add_json, method, run_on
from PIL import Image

from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY, atomic_file, read_json
from xmodbench.metrics.paired import score_images
from xmodbench.plugins import TrainData
from xmodbench.seeding import ImageGenerator
from xmodbench.store import SliceStore

SOURCE, TARGET = "pd", "t1"
ROWS = 6  # slices in the picture
SETTINGS = {"preset": "short", "sampler": "dpmpp_2m"}
ON_GPU = {
    **{"network": "ddpm", "width": 64, "learning_rate": 5e-4, "batch_size": 16, "precision": "bf16"},
    "channels_last": True,
}
"""The published network, with the objective of the preset for short trainings."""
FACTS = ("steps", "train s", "translate s", "score s", "steps/s", "loss", "isolation", "GPU MB")
SPARE = 1.3  # times what the rest of the first round took is kept for that of the second
METRICS = {
    "paper.ssim_src": "SSIM-Src",
    "paper.ssim_tar": "SSIM-Tar",
    "paper.psnr": "PSNR (dB)",
    "standard.ssim_tar": "standard SSIM",
}


def verb(name: str, *words: object) -> float:
    """Run a verb; its seconds.

    Raises:
        UserError: it failed.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "xmodbench", name, *map(str, words)]
    code = subprocess.run(command, cwd=REPOSITORY, check=False).returncode
    if code:
        raise UserError(f"ended with exit code {code}", f"xmodbench {name}", "its output stands above")
    return time.monotonic() - began


def settings_of(steps: int, given) -> dict:
    """The method's settings."""
    lengths = {"iterations": steps, "sampling_steps": given.sampling_steps}
    return {**SETTINGS, **(ON_GPU if given.device == "cuda" else {}), **lengths}


def round_of(steps: int, given, work: Path) -> dict:
    """Train, translate and score; folders, records and seconds of each verb."""
    settings = json.dumps(settings_of(steps, given))
    model, images, scores = (work / f"{name}-{steps}" for name in ("model", "images", "scores"))
    train, test = given.data / "train", given.data / "test"
    common = ("--settings", settings, "--device", given.device, "--threads", given.threads)
    paths = ("--source", SOURCE, "--target", TARGET)
    seconds = {
        "train": verb(
            *("train", "midiffusion", "--data", train, "--target", TARGET, "--out", model),
            *("--state", work / f"state-{steps}", *common),
        ),
        "translate": verb(
            *("translate", "midiffusion", "--model", model, "--data", test, *paths, "--out", images, *common)
        ),
        "score": verb(
            *("score", "--translation", images, "--data", test, "--train-data", train, *paths),
            *("--out", scores / "scores.csv"),
        ),
    }
    return {"steps": steps, "seconds": seconds, "images": images, "scores": scores / "scores.csv", "model": model}


def steps_with_room(first: dict, left: float) -> int:
    """Steps that `left` seconds have room for, with what surrounds them, at the speed of the first round."""
    training = read_json(first["model"] / "record.json")["training_s"]
    rest = sum(first["seconds"].values()) - training
    return int((left - SPARE * rest) / (training / first["steps"]))


def facts_of(found: dict) -> tuple:
    """A row: what the records of a round say."""
    record = read_json(found["model"] / "record.json")
    spent = [f"{found['seconds'][name]:.1f}" for name in ("train", "translate", "score")]
    speed = found["steps"] / max(record["training_s"] - record.get("snapshots_s", 0), 1e-3)
    memory = record.get("gpu_memory_mb", "-")
    return (found["steps"], *spent, f"{speed:.1f}", f"{record['final_loss']:.4g}", record["isolation"], memory)


def scores_of(name: str, scores: pd.DataFrame) -> list[str]:
    """A row: means over the test slices."""
    return [name, *(f"{scores[metric].mean():.3f}" for metric in METRICS if metric in scores)]


def picture(test: SliceStore, translations: np.ndarray, path: Path) -> None:
    """A PNG with a row for each of a few slices: source, translation, target."""
    rows = np.unique(np.linspace(0, len(translations) - 1, ROWS).round().astype(int))
    columns = (test.array(SOURCE), translations, test.array(TARGET))
    sheet = np.concatenate([np.concatenate([array[row] for array in columns], 1) for row in rows])
    shown = Image.fromarray((255 * np.clip(sheet, 0, 1)).round().astype(np.uint8))
    with atomic_file(path) as temporary:
        shown.resize((2 * shown.width, 2 * shown.height), Image.Resampling.NEAREST).save(temporary, format="PNG")


def rounds(given, work: Path, began: float) -> Iterator[dict]:
    """The first round, and a second where there is room for a longer one."""
    first = round_of(given.first, given, work)
    yield first
    more = steps_with_room(first, given.seconds - (time.monotonic() - began))
    if more > 2 * given.first:
        yield round_of(more, given, work)


def show(name: str, translations: np.ndarray, test: SliceStore, results: Results, out: Path) -> None:
    """Scores beside those of the source itself, and the picture."""
    source, target = test.array(SOURCE)[:], test.array(TARGET)[:]
    scores = [pd.DataFrame(score_images(images, target, source)) for images in (source, translations)]
    header = ("", *(METRICS[metric] for metric in METRICS if metric in scores[0]))
    results.table(header, map(scores_of, ("copy of the source", name), scores))
    picture(test, translations, out / "heads.png")


def in_this_process(given, work: Path, test: SliceStore, results: Results) -> None:
    """Train and translate without verbs and wall."""
    steps = 4 * given.first
    ours, run = method("midiffusion", **settings_of(steps, given)), run_on(given.device, work, given.threads)
    began = time.monotonic()
    ours.fit(TrainData(SliceStore(given.data / "train").array(TARGET)[:, None]), run)
    took = time.monotonic() - began
    results.table(("steps", "train s", "steps/s"), [(steps, f"{took:.1f}", f"{steps / took:.1f}")], "In this process")
    generators = [ImageGenerator.of(1, one) for one in test.ids]
    images = ours.translate(np.array(test.array(SOURCE))[:, None], generators)[:, 0]
    show(f"MIDiffusion, {steps} steps", images, test, results, given.out)


def main() -> None:
    """Print the tables and draw the picture, after each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="stores `train` and `test`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the picture")
    parser.add_argument("--seconds", type=float, default=240, help="for all of it")
    parser.add_argument("--first", type=int, default=150, help="steps of the first training")
    parser.add_argument("--sampling-steps", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=4)
    add_json(parser)
    given, began = parser.parse_args(), time.monotonic()
    given.data, test = given.data.absolute(), SliceStore(given.data / "test")
    with tempfile.TemporaryDirectory() as folder:
        given.device = run_on(given.device, Path(folder), given.threads, quiet=True).device
        results = Results(f"simulated heads, {SOURCE} to {TARGET}, {len(test.ids)} test slices", given.json)
        work = Path(folder)
        try:
            for found in rounds(given, work, began):
                results.table(FACTS, [facts_of(found)])
                images = SliceStore(found["images"]).array(TARGET)[:]
                show(f"MIDiffusion, {found['steps']} steps", images, test, results, given.out)
        except UserError as error:
            results.table(("problem",), [(error,)], "A verb failed")
            in_this_process(given, work, test, results)
            sys.exit(f"gpu_heads: {error}")


if __name__ == "__main__":
    main()

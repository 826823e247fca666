"""What the paper's matrix asks for, counted from the plan, and the GPU hours it would take at measured speeds.

    python benchmarks/gpu_projection.py [CONFIG] [--json gpu.json]

Counted are optimiser steps, slices shown, and evaluations or steps of translations. The numbers of slices are the published
ones; what a preparation here finds may differ (docs/reproduction.md). Hours are projections: amounts divided by speeds that
`on_gpu.py` measured at 128 pixels, without the starts of jobs, preparation and scoring.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common import evaluations, table
from gpu_parts import GAN, INVERSION, OTHERS, SAMPLING, STYLEGAN, TRAINING

from xmodbench.files import REPOSITORY
from xmodbench.learning.gan.schedule import total_steps
from xmodbench.plan.config import load_config
from xmodbench.plan.plan import Cell, Plan

PAPER = REPOSITORY / "config" / "paper.yaml"
SLICES = {"goldatlas": (993, 227), "curious": (952, 216), "ixi": (300, 75)}
"""Training and test pairs as published."""
SIZE = 128
DIFFUSION = ("midiffusion", "sdedit")
HEADER = ("method", "work", "amount")


@dataclass(frozen=True)
class Work:
    """What a method has to do; `kind` says which measured speed it goes at."""

    method: str
    kind: str
    amount: float


KINDS = {
    "midiffusion step": "optimiser steps",
    "sdedit step": "optimiser steps, without maps",
    "evaluation": "evaluations of network and map for an image",
    "cyclegan step": "optimiser steps of one slice",
    "stylegan2 image": "slices shown to the GAN",
    "encoder image": "slices shown to the encoder",
    "inversion step": "inversion steps of an image",
}


def counted(plan: Plan) -> list[Work]:
    """All work of a plan, added up by method and kind, in the plan's order; methods without any are left out."""
    sums: dict[tuple[str, str], float] = {}
    for one in (*_trainings(plan), *_translations(plan)):
        sums[one.method, one.kind] = sums.get((one.method, one.kind), 0) + one.amount
    order = {plan.method_label(name): place for place, name in enumerate(plan.methods)}
    found = [Work(*key, amount) for key, amount in sums.items()]
    return sorted(found, key=lambda one: (order[one.method], list(KINDS).index(one.kind)))


def _trainings(plan: Plan) -> Iterator[Work]:
    """Each model once, however many cells it serves."""
    for cell in {plan.model_dir(cell): cell for cell in reversed(plan.cells)}.values():
        training, slices = plan.training(cell), SLICES[cell.dataset][0]
        settings, label = _settings(plan, cell), plan.method_label(cell.method)
        if training is None:  # a control that learns nothing
            continue
        if training.plugin.id in DIFFUSION:
            steps = settings.iterations or math.ceil(
                settings.epochs * slices / (settings.batch_size * settings.accumulation)
            )
            yield Work(label, f"{training.plugin.id} step", steps)
        elif training.plugin.id == "cyclegan":
            yield Work(label, "cyclegan step", total_steps(settings, math.ceil(slices / settings.batch_size)))
        elif training.plugin.id == "stylegan2_inversion":
            yield Work(label, "stylegan2 image", 1000 * settings.kimg)
            yield Work(label, "encoder image", settings.encoder_iterations * settings.encoder_batch)


def _translations(plan: Plan) -> Iterator[Work]:
    for cell in plan.cells:
        plugin, images = plan.methods[cell.method].plugin.id, SLICES[cell.dataset][1]
        settings, label = _settings(plan, cell), plan.method_label(cell.method)
        if plugin == "midiffusion":
            yield Work(label, "evaluation", images * evaluations(settings.sampler, settings.sampling_steps))
        elif plugin == "sdedit":
            share = settings.start * settings.repeats
            yield Work(label, "evaluation", images * share * evaluations(settings.sampler, settings.sampling_steps))
        elif plugin.startswith("stylegan2"):
            steps = settings.inversion_steps
            if steps is None:  # a borrower's: the model's
                lender = next(one for one in plan.cells if plan.model_dir(one) == plan.model_dir(cell))
                steps = _settings(plan, lender).inversion_steps
            yield Work(label, "inversion step", images * steps)


def _settings(plan: Plan, cell: Cell):
    """A cell's settings with every default, where its plugin has presets."""
    settings = plan.methods[cell.method].settings[cell.dataset]
    if not hasattr(settings, "resolved"):
        return settings
    return settings.resolved(SIZE) if hasattr(settings, "kimg") else settings.resolved()


# -- speeds -------------------------------------------------------------------------------------------------------------
def speeds(found: dict) -> dict[str, tuple[float, float]]:
    """For each kind of work what was measured of it: a second's amount as config/paper.yaml computes, and the fastest."""
    training = _rows(found, TRAINING, network="ddpm", px="128", batch="4")
    sampling = _rows(found, SAMPLING, sampler="ancestral")
    gan = _rows(found, GAN, method="cyclegan", px="128")
    stylegan = _rows(found, STYLEGAN, case="auto:128")
    inversion = _rows(found, INVERSION, case="auto:128", lambda_dom="2")
    given = {
        "midiffusion step": [(row["how"] == "fp32", float(row["steps/s"])) for row in training],
        "sdedit step": [(row["how"] == "fp32", 1e3 / float(row["network ms"])) for row in training],
        "evaluation": [(row["network"] == "plain", float(row["images/s"]) * float(row["steps"])) for row in sampling],
        "cyclegan step": [(row["part"] == GAN, float(row["images/s"])) for row in gan],
        "stylegan2 image": [(row["precision"] == "fp32", float(row["images/s"])) for row in stylegan],
        "encoder image": [(row["precision"] == "fp32", float(row["encoder images/s"])) for row in stylegan],
        "inversion step": [(True, float(row["steps/s"]) * float(row["images"])) for row in inversion],
    }
    return {
        kind: (max((speed for same, speed in rows if same), default=math.nan), max(speed for _, speed in rows))
        for kind, rows in given.items()
        if rows
    }


def _rows(found: dict, name: str, **wanted: str) -> list[dict[str, str]]:
    """Rows by column of a part and of that with its further rows, whose cells are as wanted."""
    return [
        {**row, "part": part["name"]}
        for part in found["parts"]
        if part["name"] in (name, OTHERS.get(name))
        for table in part["tables"]
        for row in (dict(zip(table["header"], cells, strict=True)) for cells in table["rows"])
        if all(row.get(column) == value for column, value in wanted.items())
    ]


def hours(work: list[Work], measured: dict[str, tuple[float, float]]) -> list[tuple]:
    """Rows: method, work, amount, and GPU hours as configured and at the fastest; a sum where all are known."""
    rows, sums = [], [0.0, 0.0]
    for one in work:
        speed = measured.get(one.kind, (math.nan, math.nan))
        spent = [one.amount / each / 3600 for each in speed]
        sums = [total + more for total, more in zip(sums, spent, strict=True)]
        rows.append((one.method, KINDS[one.kind], f"{one.amount:,.0f}", *map(_shown, spent)))
    return [*rows, ("all", "", "", *map(_shown, sums))]


def _shown(value: float) -> str:
    return "not measured" if math.isnan(value) else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def section(found: dict | None, config: Path = PAPER) -> str:
    """The table in Markdown: amounts alone without results of a GPU."""
    work = counted(Plan(load_config(config), str(config)))
    if found is None:
        return table(HEADER, ((one.method, KINDS[one.kind], f"{one.amount:,.0f}") for one in work))
    header = (*HEADER, "GPU hours, as configured", "GPU hours, fastest")
    return table(header, hours(work, speeds(found)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=PAPER)
    parser.add_argument("--json", type=Path, help="gpu.json of a measurement")
    given = parser.parse_args()
    print(section(json.loads(given.json.read_text(encoding="utf-8")) if given.json else None, given.config))


if __name__ == "__main__":
    main()

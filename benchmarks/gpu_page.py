"""docs/gpu.md, made from the figures kept in docs/gpu.json; while there are none it says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gpu_projection
from gpu_tables import outcome, part_tables, table

from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY, read_json, write_json, write_text

PAGE = REPOSITORY / "docs" / "gpu.md"
FIGURES = REPOSITORY / "docs" / "gpu.json"
PICTURE = REPOSITORY / "docs" / "gpu-heads.png"
HOW = """\
## How to measure

    make gpu-bundle                                       # here: wheels and small simulated heads, into build/gpu
    bash benchmarks/on_gpu.sh --tiny --out results/gpu    # here or there: a rehearsal on a CPU
    bash benchmarks/on_gpu.sh --out results/gpu           # on the machine with the GPU
    python benchmarks/on_gpu.py --page results/gpu/gpu.json

The machine needs Linux on x86-64, Python 3.11 or 3.12, torch (2.10 or later, with Triton), accelerate, numba, scikit-image
and torchmetrics, this folder and `build/gpu`, of whose `wheels` those in `any` and in the one of its Python (`cp312`). It
needs no network. All of it takes nine minutes at most; each part is a process with a limit of its own, the most important
comes first, and `gpu.json`, `gpu.md` and `gpu.log` in the output folder are whole after each, so that a machine may be taken
away at any time.
"""
NONE = """\
# On a GPU

**There are no GPU figures yet**: nothing here has run on a GPU. One command measures everything; this page is made from
what it finds.
"""
AMOUNTS = """\
## What the paper's matrix asks for

`config/paper.yaml`, counted from its plan (`python benchmarks/gpu_projection.py`), with the published numbers of slices. As
soon as a GPU has been measured, the hours that this would take stand here.
"""
HOURS = """\
## What the paper's matrix would take

**Projections, not measurements**: the amounts that `config/paper.yaml` asks for, counted from its plan with the published
numbers of slices, divided by the speeds above at 128 pixels. Starts of jobs, preparation and scoring are not in them. The
first column is float32 without TF32, as the config stands; the second the fastest row above, whose settings (bf16,
compiled, larger batches of translations) a config can ask for. Maps go at the speed of the rows they are part of; SDEdit's
evaluations, which have none, are taken to cost as much.
"""


def page(found: dict[str, Any] | None) -> str:
    """The page's text, of the results of `on_gpu.py` or of none."""
    if found is None:
        return f"{NONE}\n{HOW}\n{AMOUNTS}\n{gpu_projection.section(None)}\n"
    lines = [
        "# On a GPU",
        "",
        f"Measured on {found['date']} with commit {found['commit']}, by one command in {found['seconds']:.0f} seconds. "
        "This page is made from `gpu.json` beside it: change nothing by hand.",
        "",
        *table(("machine", ""), found["machine"].items()),
        "",
        *table(("part", "status", "seconds", ""), map(outcome, found["parts"])),
    ]
    for part in found["parts"]:
        lines += ["", *part_tables(part)] if part["tables"] else []
        if part["name"] == "heads" and part["tables"] and PICTURE.is_file():
            lines += ["", f"![Source, translation and target of simulated heads]({PICTURE.name})"]
    return "\n".join([*lines, "", HOURS, gpu_projection.section(found), "", HOW])


def kept() -> dict[str, Any] | None:
    """The figures in docs, if there are any."""
    return read_json(FIGURES) if FIGURES.is_file() else None


def write_page(new: Path | None) -> None:
    """Write docs/gpu.md, of `new` figures, which are kept in docs, or of those there.

    Raises:
        UserError: they are those of a rehearsal or of a CPU.
    """
    if new is not None:
        found = read_json(new)
        if found.get("tiny") or found.get("device") != "cuda":
            raise UserError("no measurement of a GPU", new, "give the gpu.json of a run on one, without --tiny")
        write_json(FIGURES, found)
        if (picture := new.with_name("heads.png")).is_file():
            shutil.copyfile(picture, PICTURE)
    write_text(PAGE, page(kept()))
    print(f"wrote {PAGE}" + ("" if FIGURES.is_file() else ": no figures of a GPU yet"))

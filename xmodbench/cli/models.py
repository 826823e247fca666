"""Verbs about models that travel: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmodbench.cli.options import Expect, example, parsed
from xmodbench.commands import command
from xmodbench.progress import Progress

GROUP = "Models: from one folder to another"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this group."""
    exporting = "xmodbench export results/demo/models/midiffusion/sim_ixi/t1 t1.zip"
    app.command(rich_help_panel=GROUP, epilog=example(exporting))(export)
    app.command("import", rich_help_panel=GROUP, epilog=example("xmodbench import t1.zip models/t1"))(import_)


def export(
    model: Annotated[
        Path, typer.Argument(help="Folder of a trained model, such as results/RUN/models/METHOD/DATASET/t1.")
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE.zip", help="Where it goes.")],
    snapshots: Annotated[
        bool,
        typer.Option("--snapshots", help="Take along the pictures of training slices, which are patients' images."),
    ] = False,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the data it was trained on, where their plugin does not say.")
    ] = None,
) -> None:
    """Write a trained model into one file, with a card that says what it is and how well it did."""
    from xmodbench.data.download.remote import human_size
    from xmodbench.stages import export as stage

    sha256 = stage.export(model, out, snapshots, licence)
    typer.echo(f"{out}: {human_size(out.stat().st_size)}, SHA-256 {sha256}")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="What export wrote.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Where the model goes; a folder named as the file if left out.")
    ] = None,
    expect: Expect = "",
) -> None:
    """Check an exported model and unpack it; nothing in it is run."""
    from xmodbench.data.exported import CARD_TEXT
    from xmodbench.stages import import_model as stage
    from xmodbench.stages.given import PREPARATION

    out = folder or Path(file.stem)
    found = stage.import_model(file, out, Progress(), parsed(expect, "--expect") if expect else None)
    card = found.card
    typer.echo(f"{out}: {card.plugin.id} towards {card.target}, {card.supervision}; {out / CARD_TEXT} says more")
    if (out / PREPARATION).is_file():
        typer.echo(f"`{command('apply', out, 'IN', 'OUT')}` translates volumes with it")

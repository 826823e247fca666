"""Where answers go: a CSV and a figure in docs/findings, and what stands between markers of docs/findings.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from finished import Estimate, Finished
from results_page import COLOURS, WIDTH, dress, heading, legend

from xmodbench.files import REPOSITORY, write_text
from xmodbench.generate.markers import between

__all__ = [
    "COLOURS",
    "WIDTH",
    "Answer",
    "answered",
    "arguments",
    "dress",
    "heading",
    "legend",
    "pyplot",
    "with_interval",
]

PAGE = REPOSITORY / "docs/findings.md"


class Answer:
    """What a script found: written beside and into the page.

    Args:
        question: its name in file names and markers.
        page: Markdown file; CSV and figure go into the folder of its name.
    """

    def __init__(self, question: str, page: Path = PAGE):
        self.question, self.page, self.folder = question, page, page.with_suffix("")

    def numbers(self, rows: pd.DataFrame) -> None:
        """Write ``<question>.csv``."""
        self.folder.mkdir(exist_ok=True)
        rows.to_csv(self.folder / f"{self.question}.csv", index=False, float_format="%.5g", lineterminator="\n")

    def figure(self, figure) -> None:
        """Write ``<question>.png``."""
        self.folder.mkdir(exist_ok=True)
        figure.savefig(self.folder / f"{self.question}.png", dpi=120)

    def table(self, text: str, figure: str) -> None:
        """Put Markdown between ``<!-- begin: <question> -->`` and ``<!-- end: <question> -->``, the figure before it.

        Args:
            text: one or more tables.
            figure: what the figure shows, in words.
        """
        begin, end = (f"<!-- {word}: {self.question} -->" for word in ("begin", "end"))
        made = f"![{figure}]({self.folder.name}/{self.question}.png)\n\n{text}\n"
        write_text(self.page, between(self.page.read_text(encoding="utf-8"), begin, end, made, self.page))


def arguments(doc: str, results: bool | None = None, data: str | None = None) -> argparse.Namespace:
    """What the command line says.

    Args:
        doc: the script's.
        results: whether it wants the folder of a finished run; None: it takes none, False: it can do without.
        data: what is wanted of prepared data, if any.
    """
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if results is not None:
        options.add_argument("results", type=Path, nargs=None if results else "?", help="folder of a finished run")
    if data is not None:
        options.add_argument("data", type=Path, help=data)
    options.add_argument("--page", type=Path, default=PAGE, help="the page, if it is not docs/findings.md")
    return options.parse_args()


def answered(doc: str, question: str) -> tuple[Finished, Answer]:
    """The run that the command line names, and where what it says of the question goes."""
    given = arguments(doc, results=True)
    return Finished(given.results), Answer(question, given.page)


def with_interval(found: Estimate | None, digits: int, signed: bool = False) -> str:
    """A number with its interval as in tables; a difference, which is signed, in bold where 0 lies outside."""
    if found is None:
        return "–"
    sign = "+" if signed else ""
    text = f"{found.value:{sign}.{digits}f}"
    if found.low is not None and found.high is not None:
        text += f" [{found.low:{sign}.{digits}f}, {found.high:{sign}.{digits}f}]"
    return f"**{text}**" if signed and found.sign else text


def pyplot():
    """Matplotlib without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt

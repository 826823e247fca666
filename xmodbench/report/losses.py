"""The losses of a training over its course, drawn for the report.

Not by the training itself: there importing matplotlib, and looking for fonts anew in a private cache, would take longer than
many a job has work for.
"""

from __future__ import annotations

import io

from xmodbench.learning.training.log import LossLog

OTHERS = ("gradient_norm", "learning_rate")


def losses_drawn(log: LossLog) -> bytes:
    """A small PNG: losses above, gradient norm and learning rate below; logarithmic where values span a factor of 10."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(6.4, 4.8), dpi=80, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    losses = [name for name in log.names if name not in OTHERS]
    others = [name for name in OTHERS if name in log.names]
    _lines(above, log, losses)
    above.set_ylabel("loss" if len(losses) == 1 else "losses")
    if log.validation:
        _validation(above, log)
    if len(losses) > 1 or log.validation:
        above.legend(fontsize=8, ncols=2)
    axes = (below, below.twinx()) if len(others) > 1 else (below,)
    for axis, name, colour in zip(axes, others, ("tab:gray", "tab:red"), strict=False):
        _lines(axis, log, [name], colour)
        axis.yaxis.set_minor_formatter(NullFormatter())  # little room for labels
        axis.set_ylabel(name.replace("_", " "), color=colour, fontsize=8)
    below.set_xlabel("optimiser step")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _validation(axis, log: LossLog) -> None:
    """The loss on slices that are held out, and where it was least."""
    steps, values = zip(*log.validation, strict=True)
    axis.plot(steps, values, lw=1.6, color="tab:orange", label="held-out slices")
    step, value = log.best or log.validation[0]
    axis.plot([step], [value], "o", color="tab:orange", label=f"best, after {step} steps: kept")


def _lines(axis, log: LossLog, names: list[str], colour: str | None = None) -> None:
    steps, values = log.column("step"), [log.column(name) for name in names]
    for name, line in zip(names, values, strict=True):
        axis.plot(steps, line, lw=1.2, marker="." if len(steps) < 3 else None, label=name, color=colour)
    flat = [value for line in values for value in line]
    if min(flat) > 0 and max(flat) > 10 * min(flat):
        axis.set_yscale("log")
    axis.grid(alpha=0.3)

"""What a terminal shows of a run: a line for each job that runs, with the time left, and failures in full.

A logger plugin of Snakemake (``--logger xmodbench``, which `xmodbench run` gives), found by the name of this package. Where
there is no terminal, a line says that a job begins and one that it ended. All that Snakemake itself has to say stands in its
log file under ``.snakemake/log``.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from xmodbench.plan.job_log import clock, job_name, log_text, read_log

if TYPE_CHECKING:
    from rich.console import RenderableType

NO_NEWS = (
    "Exiting because a job execution failed",
    "Shutting down",
    "At least one job did not complete",
    "WorkflowError:\nAt least",
)
"""Errors and warnings of Snakemake that say no more than the failures before them."""
TOLD = ("Nothing to be done",)
"""What is worth telling of its news that are no events."""


@dataclass(frozen=True)
class Running:
    """A job that was started; ``since`` in seconds of the monotonic clock."""

    name: str
    log: Path | None
    since: float


class LogHandler(LogHandlerBase):
    """Takes Snakemake's events; see `LogHandlerBase` for the properties."""

    def __post_init__(self) -> None:
        settings = self.common_settings
        self.stream = sys.stdout if settings.stdout else sys.stderr
        # a dry run is read as a whole, and who asks for everything gets it
        self.plain = self._snakemakes_own() if settings.dryrun or settings.verbose or settings.debug_dag else None
        self.running: dict[int, Running] = {}
        self.began, self.done, self.total, self.failed = time.monotonic(), 0, 0, 0
        self.live = None if self.plain else self._live()

    writes_to_stream = property(lambda self: True)
    writes_to_file = property(lambda self: False)
    has_filter = property(lambda self: True)
    has_formatter = property(lambda self: True)
    needs_rulegraph = property(lambda self: False)

    def _snakemakes_own(self) -> logging.Handler:
        from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

        given = self.common_settings
        handler = ColorizingTextHandler(nocolor=given.nocolor, stream=self.stream)
        handler.setFormatter(DefaultFormatter(given.quiet, given.show_failed_logs))
        handler.addFilter(
            DefaultFilter(given.quiet, given.debug_dag, given.verbose, given.dryrun, given.printshellcmds)
        )
        return handler

    def _live(self) -> Any:
        """The lines that are written anew twice a second; None where there is no terminal."""
        if not self.stream.isatty():
            return None
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self.stream, no_color=self.common_settings.nocolor or None, highlight=False)
        if console.is_dumb_terminal:
            return None
        live = Live(get_renderable=self._lines, console=console, refresh_per_second=2, transient=True)
        live.start()
        return live

    # -- events -----------------------------------------------------------------------------------------------------
    def emit(self, record: logging.LogRecord) -> None:
        """Show an event, or nothing."""
        if self.plain is not None:
            self.plain.handle(record)
            return
        event = getattr(record, "event", None)
        told = {
            LogEvent.JOB_INFO: self._started,
            LogEvent.JOB_FINISHED: self._finished,
            LogEvent.JOB_ERROR: self._failed,
            LogEvent.PROGRESS: self._progress,
            LogEvent.RUN_INFO: self._planned,
        }
        try:
            if event in told:
                told[event](record)
            elif record.levelno >= logging.WARNING or (event is None and str(record.msg).startswith(TOLD)):
                self._news(record)
        except Exception:  # a display that fails must not end the run
            self.handleError(record)

    def _started(self, record: Any) -> None:
        if record.rule_name in ("all", "benchmark"):  # the names of the whole
            return
        job = Running(
            job_name(record.rule_name, dict(record.wildcards)),
            Path(record.log[0]) if record.log else None,
            time.monotonic(),
        )
        self.running[record.jobid] = job
        if self.live is None:
            self._say(f"begins: {job.name}")

    def _finished(self, record: Any) -> None:
        job = self.running.pop(getattr(record, "job_id", -1), None)
        if job is not None and self.live is None:
            self._say(f"done:   {job.name} in {clock(time.monotonic() - job.since)}")

    def _failed(self, record: Any) -> None:
        self.failed += 1
        job = self.running.pop(record.jobid, None)
        name = job.name if job else record.rule_name
        log = job.log if job else None
        after = f" after {clock(time.monotonic() - job.since)}" if job else ""
        said = log_text(log) if log else ""
        self._say(f"FAILED: {name}{after}" + (f" ({log})" if log else ""), "bold red")
        said = said or "it ended without a word: it was killed, most likely for want of memory or time"
        self._say("\n".join(f"    {line}" for line in said.splitlines()))

    def _planned(self, record: Any) -> None:
        self.total = getattr(record, "total_job_count", self.total)

    def _progress(self, record: Any) -> None:
        self.done, self.total = record.done, record.total

    def _news(self, record: logging.LogRecord) -> None:
        text = str(record.msg or "").strip()
        if text and not text.startswith(NO_NEWS):
            self._say(text, "red" if record.levelno >= logging.ERROR else None)

    def _say(self, text: str, style: str | None = None) -> None:
        if self.live is not None:
            self.live.console.print(text, style=style, markup=False, soft_wrap=True)
        else:
            print(text, file=self.stream, flush=True)

    # -- the lines of a terminal ------------------------------------------------------------------------------------
    def _lines(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        lines = Table.grid(padding=(0, 2))
        lines.add_column()  # where there is no room, names are cut, not the time left
        lines.add_column(no_wrap=True, overflow="ellipsis")
        for job in list(self.running.values()):  # at once: this is another thread than that of the events
            log = read_log(job.log) if job.log else None
            told = log.progress if log is not None and log.alive else "starting"
            lines.add_row(Text(job.name, "cyan", no_wrap=True, overflow="ellipsis"), Text(told))
        return Group(lines, Text(self._summary(), "bold"))

    def _summary(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        done = f"{self.done} of {self.total} jobs done" if self.total else "planning"
        return f"{done}{failed}, {clock(time.monotonic() - self.began)}"

    def close(self) -> None:
        """Leave one line of the whole on the terminal."""
        if self.live is not None:
            self.live.stop()
            self.live = None
        if self.total and self.plain is None:
            self._say(self._summary())
            self.total = 0  # closed once more when Python ends
        super().close()

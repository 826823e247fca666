"""Start Snakemake for a config, also after a run that was killed."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from xmodbench.commands import TYPED, command, pasteable
from xmodbench.errors import UserError
from xmodbench.files import SHIPPED, read_json, sha256_json, write_json

OWNER = Path(".snakemake/xmodbench-run.json")
"""Who works in a directory, beside Snakemake's locks, which do not say."""

SHOW_CURSOR = "\x1b[?25h"


def snakefile() -> Path:
    """The workflow: the working directory's, or the one this package ships."""
    local = Path("Snakefile")
    return local if local.is_file() else SHIPPED / local


def run_snakemake(config: Path, overrides: dict[str, Any], cores: str, extra: list[str], verbose: bool = False) -> int:
    """Run the workflow and return its exit code.

    The terminal shows our own lines (`snakemake_logger_plugin_xmodbench`), unless Snakemake's are asked for by `verbose`, or
    by a ``--logger`` among `extra`; Snakemake's own stand in a file under ``.snakemake/log`` in any case.

    A killed Snakemake leaves its lock and half-written outputs behind: the lock is removed here when no other Snakemake
    works in this directory, and the default profile's ``rerun-incomplete`` sees to the rest.

    Raises:
        UserError: the lock is that of a run on another machine, of which nobody here can say whether it still goes on.
    """
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile())]
    given = ["--configfile", str(config)]
    if overrides:
        # a file of their own: what `--config` is given, Snakemake makes into texts, or drops its quotes
        laid_over = Path(".snakemake") / f"set-{sha256_json(overrides)[:12]}.json"
        write_json(laid_over, overrides)
        given.append(str(laid_over))
    folder = _working_directory(extra)
    if locked(folder) and "--unlock" not in extra and _may_unlock(folder):
        unlock = [*snakemake, "--directory", str(folder), "--unlock", *given]
        subprocess.run(unlock, check=False, capture_output=True)  # where that fails, the run says so
    # `--cores` after `given`: those options take any number of values and would swallow targets among `extra`
    variables = {**os.environ, TYPED: pasteable(sys.argv)}
    logger = [] if verbose or not _logger_is_found() or _names_a_logger(extra) else ["--logger", "xmodbench"]
    command = [*snakemake, *given, *logger, "--cores", cores, *extra]
    code = subprocess.run(command, check=False, env=variables).returncode
    if sys.stderr.isatty():
        print(SHOW_CURSOR, end="", file=sys.stderr, flush=True)  # a Snakemake that was killed could not
    return code


def _logger_is_found() -> bool:
    """Whether Snakemake can find our lines: the package's folder may be all that somebody copied."""
    return importlib.util.find_spec("snakemake_logger_plugin_xmodbench") is not None


def _names_a_logger(extra: list[str]) -> bool:
    return any(word.partition("=")[0] in ("--logger", "--quiet", "-q") for word in extra)


def _working_directory(extra: list[str]) -> Path:
    """Where Snakemake is to work: here, unless its options say otherwise."""
    for word, following in zip(extra, [*extra[1:], ""], strict=False):
        if word in ("--directory", "-d"):
            return Path(following)
        if word.startswith("--directory="):
            return Path(word.partition("=")[2])
    return Path()


def locked(folder: Path = Path()) -> bool:
    """Whether a Snakemake holds a folder, or did when it was killed."""
    locks = folder / ".snakemake" / "locks"
    return locks.is_dir() and any(locks.iterdir())


def on_this_machine(workflow: Any) -> bool:
    """Whether Snakemake runs jobs here, and not on a cluster's nodes; a dry run says what the real one would.

    Of a dry run Snakemake keeps but one trace of how jobs would be run: only a cluster's are submitted from threads. The
    Snakemake that a cluster's job starts on its node asks for what the one that submitted the job did.
    """
    settings = workflow.execution_settings
    return workflow.is_main_process and workflow.local_exec and not (settings and settings.use_threads)


def default_resource(workflow: Any, name: str) -> str | None:
    """What a profile says under a name among its ``default-resources``, as it is written there."""
    given = (workflow.resource_settings.default_resources or {}).get(name)
    raw = getattr(given, "raw", given)
    return None if raw is None else str(raw)


def look_when_there_is_news(workflow: Any) -> None:
    """Let a Snakemake that begins look for jobs to start when one has ended, and not all the time.

    With a limit of jobs in a time it looks again a second after each look, and every job that ends begins one more such
    chain: after a hundred jobs it looks at the inputs of all that is ready a hundred times a second. The limit that it has
    unless told otherwise, a hundred jobs a second, is none for jobs of seconds and more, and is taken off here.
    """
    scheduler, limit = workflow.scheduler, workflow.scheduling_settings.max_jobs_per_timespan
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        scheduler.job_rate_limiter = None


def note_owner() -> None:
    """Say, for whoever finds this directory locked, which process of which machine works in it."""
    since = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    write_json(OWNER, {"host": platform.node(), "pid": os.getpid(), "since": f"{since} UTC"})


def _may_unlock(folder: Path) -> bool:
    """Whether the run that locked this directory is gone."""
    try:
        found = read_json(folder / OWNER)
    except UserError:  # locked by something else
        found = None
    owner = found if isinstance(found, dict) else {}
    host, here = owner.get("host"), platform.node()
    if host in (None, here):
        return not _another_runs(folder)
    who = f"process {owner.get('pid')} on {host}, since {owner.get('since')}"
    if sys.stdin.isatty():
        answer = input(f"This folder is locked by {who}; nobody here can see whether it still runs. Unlock it? [y/N] ")
        if answer.strip().lower() in ("y", "yes"):
            return True
    fix = f"wait for it; if it is gone, `{command(*sys.argv[1:], '--unlock')}` and start again"
    raise UserError(f"locked by {who}", folder.absolute(), fix)


def runner(folder: Path = Path()) -> str | None:
    """Who runs a workflow in a folder, as far as can be told from here; None where nobody does, or nobody ever did.

    That of another machine counts for as long as it holds Snakemake's lock, which it leaves behind if it is killed.
    """
    try:
        owner = read_json(folder / OWNER)
    except UserError:
        return None
    if not isinstance(owner, dict) or not locked(folder):
        return None
    if owner.get("host") == platform.node() and not _another_runs(folder):
        return None
    unsure = "" if owner.get("host") == platform.node() else ", unless it was killed"
    return f"Snakemake runs here: process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')}{unsure}"


def _another_runs(folder: Path) -> bool:
    """Whether another Snakemake process has this folder as its working directory (Linux; elsewhere: assume so)."""
    proc = Path("/proc")
    if not proc.is_dir():
        return True
    here = folder.resolve()
    for process in proc.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            named = any(Path(os.fsdecode(word)).name == "snakemake" for word in words)
            if named and (process / "cwd").resolve() == here:
                return True
        except OSError:
            continue
    return False

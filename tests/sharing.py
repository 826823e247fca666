"""What takes long, made once: folders for all processes of pytest-xdist, and a process that has imported Snakemake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from shutil import rmtree

import pytest

from xmodbench.data.download.disk import exclusive
from xmodbench.files import REPOSITORY

PRELOADED = (
    "snakemake.cli",
    "snakemake.executors.dryrun",
    "snakemake.executors.local",
    "snakemake.linting.rules",
    "snakemake.report.html_reporter",
    "snakemake_logger_plugin_xmodbench",
    "xmodbench.plan.jobs",
)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A copy, times and all, of the folder that `make` fills; of several processes of pytest the first one fills it."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    original, done = shared / f"once-{name}", shared / f"once-{name}.done"
    with exclusive(shared / f"once-{name}.lock", wait=True):
        if not done.exists():
            rmtree(original, ignore_errors=True)  # of another process, whose attempt failed
            original.mkdir()
            make(original)
            done.touch()
    copy = factory.mktemp(name) / "copy"
    subprocess.run(["cp", "-a", str(original), str(copy)], check=True)
    return copy


def snakemake(options: list[str], folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess:
    """As ``python -m snakemake`` in a process of its own, which is forked from one that has imported it."""
    with tempfile.TemporaryDirectory() as temporary:
        said = {name: f"{temporary}/{name}" for name in ("stdout", "stderr")}
        server = _server()
        print(json.dumps([options, str(folder), variables, *said.values()]), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        texts = {name: Path(path).read_text(encoding="utf-8", errors="replace") for name, path in said.items()}
    return subprocess.CompletedProcess(["snakemake", *options], code, **texts)


@cache
def _server() -> subprocess.Popen:
    """It ends with this process, whose end closes its input."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sharing"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _serve() -> None:
    from importlib import import_module

    for module in PRELOADED:
        import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _be_snakemake(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _be_snakemake(options: list[str], folder: str, variables: dict[str, str], stdout: str, stderr: str) -> None:
    import snakemake.cli

    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in enumerate((stdout, stderr), start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        sys.path[0] = folder  # as with `python -m`
        sys.argv[:] = [f"{Path(snakemake.cli.__file__).parent}/__main__.py", *options]
        snakemake.cli.main(sys.argv[1:])
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()

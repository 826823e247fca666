"""Where the Python of a run's jobs comes from: this environment, or one that Snakemake makes for them (`--sdm`)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xmodbench.files import IS_CHECKOUT, PACKAGE_ROOT, REPOSITORY
from xmodbench.plan.config import Compute
from xmodbench.plan.lifeline import STARTED_BY

BIND = ("APPTAINER_BIND", "SINGULARITY_BIND")
"""Environment variables that name further folders to be seen inside containers."""


class Deployment:
    """What Snakemake was told of the jobs' software.

    Args:
        workflow: Snakemake's, as the Snakefile has it.
        compute: of the run's config; names the image for ``--sdm apptainer``.

    Attributes:
        environment: file of the jobs' environment for ``--sdm conda``, as rules in ``workflow/rules`` name it.
    """

    def __init__(self, workflow: Any, compute: Compute):
        self.workflow = workflow
        self.environment = f"../envs/xmodbench{'-cpu' if compute.device == 'cpu' else ''}.yaml"
        methods = {method.name for method in workflow.deployment_settings.deployment_method}
        self.conda = "CONDA" in methods
        self.container = compute.container if "APPTAINER" in methods else None

    def shell_prefix(self) -> str:
        """Put before every shell command: this package on the path, this interpreter unless an environment or an image
        provides one, and which Snakemake started it."""
        provided = self.conda or self.container is not None
        place = import_place() if provided else REPOSITORY
        if self.container is not None:
            self._show_in_containers(place)
        path = os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))
        # a container's parent is the program that started it, which nobody ends with Snakemake
        parent = "$PPID" if self.container is None else str(os.getpid())
        exports = [f"export PYTHONPATH={shlex.quote(path)} {STARTED_BY}={parent}"]
        if not provided:
            exports.append(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
        return "; ".join(exports) + "; "

    def _show_in_containers(self, place: Path) -> None:
        for name in BIND:
            folders = dict.fromkeys([*filter(None, os.environ.get(name, "").split(",")), str(place), str(PACKAGE_ROOT)])
            os.environ[name] = ",".join(folders)

    def job_of(self, rule: str) -> Any:
        """A rule's job in this call of Snakemake, None where what was asked for does not need it."""
        return next((job for job in self.workflow.dag.jobs if job.rule.name == rule), None)

    def runs_as(self, rule: str, shell: Callable, command: str) -> bool:
        """Run a command that is no job in the environment of a rule's job; False if it fails, or the environment is lacking.

        Args:
            shell: Snakemake's.
        """
        given = self._environment_of(self.job_of(rule))
        if given is None:
            return False
        try:
            # not a job, and without a log of its own: what it says goes where Snakemake's words go
            shell("{command}", command=f"{STARTED_BY}= {command}", **given)
        except subprocess.CalledProcessError:
            return False
        return True

    def _environment_of(self, job: Any) -> dict[str, Any] | None:
        """What Snakemake's `shell` has to be told of a job's environment; None where there is none yet."""
        settings = self.workflow.deployment_settings
        given: dict[str, Any] = {}
        if self.container is not None and job is not None:
            given |= {"container_img": job.container_img_path, "singularity_args": settings.apptainer_args}
        if self.conda and job is not None and job.conda_env is not None and Path(job.conda_env.address).is_dir():
            given |= {"conda_env": job.conda_env.address, "conda_base_path": settings.conda_base_path}
        wanted = {"container_img": self.container is not None, "conda_env": self.conda}
        return None if any(wanted[name] and name not in given for name in wanted) else given


def import_place() -> Path:
    """A folder from which another Python can import this package and nothing else: in ``site-packages`` lies much more."""
    if IS_CHECKOUT:
        return REPOSITORY
    place = Path(".snakemake/xmodbench-package").absolute()
    place.mkdir(parents=True, exist_ok=True)
    link = place / PACKAGE_ROOT.name
    if not link.is_symlink() or link.resolve() != PACKAGE_ROOT:
        link.unlink(missing_ok=True)
        link.symlink_to(PACKAGE_ROOT)
    return place

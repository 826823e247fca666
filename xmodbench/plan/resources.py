"""What a method's job asks for: GPUs, memory, time, threads, and how many processes share a training.

The numbers stand in ``resources`` of the plugin's ``method.yaml``, by job where they differ; here they meet the config, the
machine and the attempt. Profiles hand them on to a cluster.
"""

from __future__ import annotations

from collections.abc import Callable

from xmodbench.devices import visible_gpus
from xmodbench.plan.launch import MODULE
from xmodbench.plan.methods import Training, read_replicate
from xmodbench.plan.plan import Cell, Plan
from xmodbench.plugins.job_resources import JobResources

GRES = "gpu_gres"
"""Name under which a profile says, among its ``default-resources``, what GPUs are called as generic resources."""

PER_MODEL = "one_job_per_model"
"""Name under which a profile asks there for a training and the translations of its model in one job."""


class Resources:
    """Answers Snakemake's questions about a job of a method, by its wildcards.

    Args:
        plan: of the run.
        runs_here: says, once Snakemake has chosen, whether jobs run on this machine (and not on a cluster's nodes).
        site: says what a profile has among its ``default-resources`` under a name, None where it has nothing.
    """

    def __init__(
        self, plan: Plan, runs_here: Callable[[], bool], site: Callable[[str], str | None] = lambda name: None
    ):
        self.plan, self.compute, self.runs_here, self.site = plan, plan.config.compute, runs_here, site

    def device(self, wildcards) -> str:
        """Device the method may use."""
        return self.compute.device

    def threads(self, wildcards) -> int:
        """Threads of a training or translation; controls need one."""
        if self._asked(wildcards).gpu == 0:
            return 1
        return self.compute.threads * self._processes(wildcards)

    def gpu(self, wildcards) -> int:
        """GPUs of a job, counted by Snakemake and by the cluster; 0 where they are asked for by `gres`."""
        return 0 if self.site(GRES) else self._gpus(wildcards)

    def local_gpu(self, wildcards) -> int | None:
        """The same on this machine, for a limit that is no cluster's (profiles/default); None there, and without a GPU."""
        return self._gpus(wildcards) or None if self.runs_here() else None

    def gres(self, wildcards) -> str | None:
        """The same for Slurms that know of GPUs only as generic resources: ``gpu:2``, where the profile has `GRES`."""
        name, count = self.site(GRES), self._gpus(wildcards)
        return f"{name}:{count}" if name and count else None

    def group(self, wildcards) -> str | None:
        """Jobs that a cluster does in one, one after the other; none on this machine.

        Those of methods that need neither a GPU nor a minute, controls above all; and where the profile has `PER_MODEL`, a
        training with the translations of its own method. Several jobs of one translation stay several, and a training on
        several nodes, or on more GPUs than a group can ask for by `gres`, stays by itself.
        """
        if self.runs_here() or "part" in wildcards.keys():  # noqa: SIM118 (no dict)
            return None
        if self._asked(wildcards).gpu == 0:
            return "controls"
        alike = self.compute.nodes == 1 and not (self.site(GRES) and self.compute.processes > 1)
        return self._model(wildcards) if self.site(PER_MODEL) and alike else None

    def one_at_a_time(self, wildcards) -> int | None:
        """Keeps jobs of a group from standing side by side, in what they ask for and where they run; None here."""
        return None if self.runs_here() else 1

    def _model(self, wildcards) -> str | None:
        """Name of a model, of its training and of its own method's translations; None for what others share or borrow."""
        verb = verb_of(wildcards)
        if verb == "translate":
            cell = cell_of(wildcards)
            training, folder = self.plan.training(cell), self.plan.model_dir(cell)
            own = training is not None and training.plugin.id == self.plan.methods[cell.method].plugin.id
            return ".".join(folder.parts[-3:]) if folder and own else None
        return f"{wildcards.training}.{wildcards.dataset}.{wildcards.model}" if verb == "train" else None

    def _gpus(self, wildcards) -> int:
        """GPUs of a job; none where `auto` will find none."""
        device = self.compute.device
        if device == "cpu" or (device == "auto" and self.runs_here() and not visible_gpus()):
            return 0
        return self._asked(wildcards).gpu * self._processes(wildcards)

    @property
    def training_priority(self) -> int:
        """Of trainings over other jobs, for the run: they come first where all is done on CPUs.

        Then no long one is left to the end, with nothing beside it to do for the other cores. Where trainings wait for a GPU
        the first results would wait for all of them, so that there they come in any order.
        """
        return 1 if self.compute.device == "cpu" else 0

    def mem_mb(self, wildcards, attempt: int = 1) -> int:
        """Memory of a job; half as much again with every retry."""
        return grown(self._asked(wildcards).mem_mb, attempt)

    def scoring_mem_mb(self, wildcards, attempt: int = 1) -> int:
        """Memory of the scores of a cell: half as much again with every retry."""
        return grown(4000, attempt)

    def runtime(self, wildcards, attempt: int = 1) -> int:
        """Minutes a job may take; training resumes, so a retry gets as many again."""
        return self._asked(wildcards).runtime * attempt

    def launcher(self, wildcards) -> list[str]:
        """What starts a training: Python, or what starts several processes that share the work."""
        processes = self._processes(wildcards)
        if processes == 1:
            return ["python", "-m"]
        options = ["--processes", str(processes), "--device", self.compute.device]
        if self.compute.nodes > 1:
            options += ["--nodes", str(self.compute.nodes), "--threads", str(self.cpus_per_task(wildcards))]
        return ["python", "-m", MODULE, *options]

    # -- several nodes, in the words of Snakemake's plugin for Slurm; None where one node will do --------------------
    def nodes(self, wildcards) -> int:
        """Nodes of a training."""
        return self.compute.nodes if self._processes(wildcards) > 1 else 1

    def mpi(self, wildcards) -> str | None:
        """Says that the job itself starts what runs on each node."""
        return "srun" if self.nodes(wildcards) > 1 else None

    def tasks(self, wildcards) -> int | None:
        """One launcher on each node."""
        return self.nodes(wildcards) if self.nodes(wildcards) > 1 else None

    def tasks_per_gpu(self, wildcards) -> int | None:
        """None: the plugin would take the tasks for those of each GPU."""
        return 0 if self.nodes(wildcards) > 1 else None

    def cpus_per_task(self, wildcards) -> int | None:
        """CPU threads of each node."""
        nodes = self.nodes(wildcards)
        return self.threads(wildcards) // nodes if nodes > 1 else None

    def _processes(self, wildcards) -> int:
        verb = verb_of(wildcards)
        able = verb != "translate" and verb in training_of(self.plan, wildcards).plugin.meta.get(
            "several_processes", []
        )
        return self.compute.processes if able else 1

    def _asked(self, wildcards) -> JobResources:
        """What the plugin's YAML asks for, for this kind of job; what it does not say has the defaults there."""
        verb = verb_of(wildcards)
        methods = self.plan.methods
        own = methods[read_replicate(wildcards.method)[0]] if verb == "translate" else training_of(self.plan, wildcards)
        resources = own.plugin.meta.get("resources", {})
        asked = resources | resources.get(verb, {})
        return JobResources(**{name: asked[name] for name in JobResources.model_fields if name in asked})


def grown(mem_mb: int, attempt: int) -> int:
    """Memory for a further attempt: half as much again with every one."""
    return int(mem_mb * (1 + 0.5 * (attempt - 1)))


def cell_of(wildcards) -> Cell:
    """The cell that these are the wildcards of."""
    method, seed = read_replicate(wildcards.method)
    return Cell(method, wildcards.dataset, wildcards.source, wildcards.target, seed)


def training_of(plan: Plan, wildcards) -> Training:
    """The training, or its first phase, that these are the wildcards of."""
    if verb_of(wildcards) == "pretrain":
        return plan.pretrainings[wildcards.dataset, wildcards.pretraining]
    return plan.trainings[wildcards.dataset, wildcards.training]


def verb_of(wildcards) -> str:
    """Which job of a method these are the wildcards of: ``pretrain``, ``train`` or ``translate``."""
    verbs = {"pretraining": "pretrain", "training": "train"}
    return next((verb for name, verb in verbs.items() if name in wildcards.keys()), "translate")  # noqa: SIM118 (no dict)

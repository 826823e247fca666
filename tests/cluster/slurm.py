"""A real Slurm on this machine, started for a test and stopped after it: one controller, one or more nodes, pretended GPUs.

Needs root and Debian's ``slurm-wlm`` and ``munge``. Everything of it lies in one folder; the machine's own Slurm, if it has
one, is not touched, since every command is told of this one's file by ``SLURM_CONF``.
Snakemake's plugin takes that variable from a job's environment before it calls ``srun``, which is wrapped therefore.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue", "scontrol")
GPU_MAJOR = 195  # of NVIDIA's devices: nothing answers on a machine without its driver

CONFIG = """
ClusterName=xmodbench
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MpiDefault=none
ProctrackType={proctrack}
TaskPlugin={task}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=0
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=1
KillWait=3
MinJobAge=600
OverTimeLimit=0
"""
CGROUPS = """
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainDevices=yes
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
"""


def holds_jobs() -> bool:
    """Whether the kernel lets Slurm hold jobs to their GPUs and memory: control groups of version 1, as root."""
    return all(os.access(f"/sys/fs/cgroup/{name}/tasks", os.W_OK) for name in ("memory", "devices", "freezer"))


def lacking() -> str | None:
    """Why no Slurm can be started here; None where one can."""
    if os.getuid() != 0:
        return "only root can start a Slurm"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install slurm-wlm munge"
    return None


class Slurm:
    """A cluster, as a context manager.

    Args:
        folder: of its own, with a short path (a socket lies there).
        nodes: how many nodes are pretended; each has `gpus` GPUs and 8 cores.
        cgroups: let the kernel hold jobs to their GPUs and memory.
    """

    def __init__(self, folder: Path, nodes: int = 1, gpus: int = 4, cgroups: bool = False):
        self.folder, self.nodes, self.gpus, self.cgroups = folder, nodes, gpus, cgroups
        self.running: dict[str, subprocess.Popen] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Variables under which Slurm's commands speak to this cluster."""
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Slurm:
        self._write()
        self._authenticate()
        self.start_controller()
        for node in range(self.nodes):
            self._start(f"slurmd{node}", "slurmd", "-D", "-N", f"node{node}", "-f", str(self.folder / "slurm.conf"))
        try:
            self._wait(lambda: set(self.said("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}, "idle nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if "slurmctld" in self.running:
            subprocess.run(
                ["scancel", "--user", "root"], env=self.environment, capture_output=True, check=False, timeout=20
            )
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def said(self, *command: str) -> str:
        """What a command of Slurm's says."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.strip()

    def start_controller(self) -> None:
        """Start the controller; one that was killed finds its jobs again."""
        self._start("slurmctld", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        self._wait(lambda: "UP" in self.said("scontrol", "ping"), "a controller")

    def kill_controller(self) -> None:
        """As a power cut would."""
        controller = self.running.pop("slurmctld")
        controller.kill()
        controller.wait()

    # -- the parts --------------------------------------------------------------------------------------------------
    def _write(self) -> None:
        for name in ("state", "devices", "bin"):
            (self.folder / name).mkdir(parents=True)
        for name in ("srun", "scontrol", "squeue"):
            wrapped = self.folder / "bin" / name
            wrapped.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which(name)} "$@"\n')
            wrapped.chmod(0o755)
        host, ports = socket.gethostname(), free_ports(1 + self.nodes)
        names = {"proctrack": "proctrack/linuxproc", "task": "task/none"}
        if self.cgroups:
            names = {"proctrack": "proctrack/cgroup", "task": "task/cgroup"}
        lines = [CONFIG.format(host=host, folder=self.folder, controller=ports[0], **names)]
        for node, port in enumerate(ports[1:]):
            what = f"CPUs=8 RealMemory=256000 Gres=gpu:{self.gpus}"
            lines.append(f"NodeName=node{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {what}")
        for name in ("cpu", "gpu"):
            default = "YES" if name == "cpu" else "NO"
            lines.append(f"PartitionName={name} Nodes=ALL Default={default} MaxTime=INFINITE State=UP OverSubscribe=NO")
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "cgroup.conf").write_text(CGROUPS if self.cgroups else "CgroupPlugin=cgroup/v1\n")
        devices = self.folder / "devices"
        for index in range(self.gpus):
            os.mknod(devices / f"gpu{index}", 0o020666, os.makedev(GPU_MAJOR, 200 + index))
        (self.folder / "gres.conf").write_text(f"Name=gpu File={devices}/gpu[0-{self.gpus - 1}]\n")

    def _authenticate(self) -> None:
        munge = self.folder / "munge"
        munge.mkdir()
        key = munge / "key"
        subprocess.run(["mungekey", "--create", "--keyfile", str(key)], check=True)
        user = pwd.getpwnam("munge")
        for path in (munge, key):
            os.chown(path, user.pw_uid, user.pw_gid)
        munge.chmod(0o755)
        files = {"key-file": key, "socket": munge / "socket", "pid-file": munge / "pid", "log-file": munge / "log"}
        options = [f"--{name}={path}" for name, path in {**files, "seed-file": munge / "seed"}.items()]
        self._start("munged", "munged", "--foreground", "--force", *options, user="munge")
        self._wait((munge / "socket").exists, "munge")

    def _start(self, name: str, *command: str, **options: str) -> None:
        with open(self.folder / f"{name}.out", "a") as said:
            self.running[name] = subprocess.Popen(
                command, stdout=said, stderr=said, env=self.environment, start_new_session=True, **options
            )

    def _wait(self, until, what: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                logs = "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))
                raise RuntimeError(f"no {what} after {seconds} s\n{logs}")
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()

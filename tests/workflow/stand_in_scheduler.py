"""A scheduler of one machine that answers to the commands of PBS, SGE or LSF, as far as Snakemake's jobs use them.

It is copied under the names of its commands. A job is a process group of its own. ``STAND_IN`` names its folder, where a
file ``kill-<rule>`` has the next job of a rule killed as by its time limit, and a file ``down`` has nothing answered.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["STAND_IN"])
PROGRAM, ARGUMENTS = Path(sys.argv[0]).name, sys.argv[1:]
DIALECT = "lsf" if PROGRAM.startswith("b") else "sge" if "SGE_ROOT" in os.environ else "pbs"


def submit() -> None:
    """Start the script that is named last, with its output where ``-o`` says."""
    number = str(1 + len(list(FOLDER.glob("*.pid"))))
    own = {"pbs": {"PBS_JOBID": f"{number}.head"}, "sge": {"JOB_ID": number}, "lsf": {"LSB_JOBID": number}}[DIALECT]
    script = FOLDER / f"{number}.sh"
    script.write_bytes(Path(ARGUMENTS[-1]).read_bytes())
    with open(ARGUMENTS[ARGUMENTS.index("-o") + 1], "w") as log:
        job = subprocess.Popen(
            ["sh", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **own},
            start_new_session=True,
        )
    (FOLDER / f"{number}.pid").write_text(str(job.pid))
    name = next(word.partition(".")[2] for word in ARGUMENTS if word.startswith("xmodbench."))
    if (wish := FOLDER / f"kill-{name}").exists():
        wish.unlink()
        time.sleep(0.2)
        os.killpg(job.pid, signal.SIGKILL)
    print({"pbs": f"{number}.head", "sge": number, "lsf": f"Job <{number}> is submitted to queue <normal>."}[DIALECT])


def is_running(number: str) -> bool:
    """Whether a job's process lives; the dead ones of a container may have nobody who buries them."""
    try:
        state = Path(f"/proc/{(FOLDER / f'{number}.pid').read_text()}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def status() -> int:
    """What the queue says of the last argument."""
    number = re.sub(r"\..*", "", ARGUMENTS[-1])
    if is_running(number):
        print({"pbs": f"Job Id: {number}\n    job_state = R", "sge": f"job_number: {number}", "lsf": "RUN"}[DIALECT])
        return 0
    unknown = {
        "pbs": f"qstat: {number}.head Job has finished, use -x or -H to obtain historical job information",
        "sge": f"Following jobs do not exist:\n{number}",
        "lsf": f"Job <{number}> is not found",
    }
    print(unknown[DIALECT], file=sys.stderr)
    return 1


def main() -> int:
    if (FOLDER / "down").exists():
        print("cannot connect to server", file=sys.stderr)
        return 1
    if PROGRAM.endswith("sub"):
        submit()
        return 0
    if PROGRAM in ("qstat", "bjobs"):
        return status()
    for job in ARGUMENTS:
        os.killpg(int((FOLDER / f"{re.sub(r'[.].*', '', job)}.pid").read_text()), signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())

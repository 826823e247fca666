"""One job per GPU, whatever the workflow's own counting does."""

import subprocess
import sys

CODE = """
import sys, time
from pathlib import Path
from xmodbench.devices import claim
from xmodbench.progress import Progress
print(claim(["0", "1"], Path(sys.argv[1]), Progress(quiet=True), poll_s=0.05), flush=True)
sys.stdin.read()
"""


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_three_jobs_share_two_gpus(tmp_path):
    first, second = start(tmp_path), start(tmp_path)
    assert {first.stdout.readline().strip(), second.stdout.readline().strip()} == {"0", "1"}
    third = start(tmp_path)
    second.kill()  # even a killed job gives its GPU back
    second.wait()
    freed = third.stdout.readline().strip()
    assert freed in {"0", "1"}
    for job in (first, third):
        job.stdin.close()
        job.wait(10)

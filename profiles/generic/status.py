#!/usr/bin/env python3
"""status.py JOB: what Snakemake asks of a job that it submitted; answers ``running``, ``success`` or ``failed``."""

import sys

from schedulers import job_number, status

print(status(job_number(sys.argv[1])))

#!/usr/bin/env python3
"""cancel.py JOB ...: what Snakemake calls when it is stopped."""

import sys

from schedulers import cancel, job_number

sys.exit(cancel([job_number(job) for job in sys.argv[1:]]))

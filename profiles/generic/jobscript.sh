#!/bin/sh
# properties = {properties}
# How the job ended is written where status.py looks, unless it was killed: then the scheduler has forgotten it, and there
# is nothing.
trap 'code=$?; mkdir -p .snakemake/generic; echo $code > ".snakemake/generic/${{PBS_JOBID:-${{LSB_JOBID:-$JOB_ID}}}}.exit"' EXIT
{exec_job}

"""Which processor a job runs on, how precisely it computes there, and one job per GPU."""

from xmodbench.devices.gpus import claim, job_gpus, promised, visible_gpus
from xmodbench.devices.processor import handed, job_environment, resolve_device

__all__ = ["claim", "handed", "job_environment", "job_gpus", "promised", "resolve_device", "visible_gpus"]

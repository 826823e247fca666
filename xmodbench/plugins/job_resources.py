"""What a plugin's YAML asks for its jobs under ``resources``, and the defaults of what it does not say."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class JobResources(BaseModel):
    """What a job asks for: GPUs, MiB, minutes."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    gpu: int = Field(1, ge=0)
    mem_mb: int = Field(16000, ge=1)
    runtime: int = Field(1440, ge=1)


class Resources(JobResources):
    """The same of all jobs of a method, and what is different in some."""

    translate_jobs: int = Field(1, ge=1, le=1000)
    pretrain: JobResources = Field(default_factory=JobResources)
    train: JobResources = Field(default_factory=JobResources)
    translate: JobResources = Field(default_factory=JobResources)

"""The logger plugin by itself: which of Snakemake's events are told, and how; a run on a terminal is in tests/workflow."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

import snakemake_logger_plugin_xmodbench as plugin
from xmodbench.plan import snakemake as start


def settings(**changes):
    given = {"stdout": False, "nocolor": False, "dryrun": False, "verbose": False, "debug_dag": False, "quiet": None,
             "show_failed_logs": True, "printshellcmds": False}  # fmt: skip
    return SimpleNamespace(**(given | changes))


def event(kind, message=None, level=logging.INFO, **facts):
    record = logging.LogRecord("snakemake", level, "file", 1, message, None, None)
    record.__dict__.update(event=kind, **facts)
    return record


def begins(jobid, rule="train", log="job.log", **wildcards):
    return event(LogEvent.JOB_INFO, jobid=jobid, rule_name=rule, log=[log], wildcards=wildcards)


def test_snakemake_finds_it():
    assert LoggerPluginRegistry().is_installed("xmodbench")


def test_a_line_for_each_job_that_begins_and_ends(tmp_path, capsys):
    handler = plugin.LogHandler(settings(), None)
    log = tmp_path / "job.log"
    log.write_text("[10:00:01] train:  50% 1/2 [00:00<00:01,  1it/s]\nTraceback\nxmodbench: error: no \x1b[31m room\n")
    one, two = (
        {"training": "cut", "dataset": "ixi", "model": "t1"},
        {"training": "ilvr", "dataset": "ixi", "model": "t1"},
    )
    for record in (
        event(LogEvent.WORKFLOW_STARTED, "SNAKEMAKE"),
        event(None, "Building DAG of jobs..."),
        event(LogEvent.RUN_INFO, "Job stats:", total_job_count=4),
        begins(1, **one),
        begins(2, log=str(log), **two),
        begins(3, rule="all"),
        event(LogEvent.SHELLCMD, "python -m xmodbench train"),
        event(LogEvent.JOB_FINISHED, "Finished jobid: 1", job_id=1),
        event(LogEvent.PROGRESS, None, done=1, total=4),
        event(LogEvent.JOB_ERROR, "Error in rule train", logging.ERROR, jobid=2, rule_name="train", shellcmd="python"),
        event(None, "Exiting because a job execution failed. Look below for error messages", logging.ERROR),
        event(None, "the disk is full", logging.ERROR),
    ):
        handler.emit(record)
    handler.close()
    handler.close()  # Python does it once more at its end
    assert capsys.readouterr().err.splitlines() == [
        "begins: train cut ixi t1",
        "begins: train ilvr ixi t1",
        "done:   train cut ixi t1 in 0:00",
        f"FAILED: train ilvr ixi t1 after 0:00 ({log})",
        "    Traceback",
        "    xmodbench: error: no \\x1b[31m room",
        "the disk is full",
        "1 of 4 jobs done, 1 failed, 0:00",
    ]


def test_a_job_that_was_killed_without_a_word(tmp_path, capsys):
    handler = plugin.LogHandler(settings(), None)
    handler.emit(begins(1, log=str(tmp_path / "none.log"), training="cut", dataset="ixi", model="t1"))
    handler.emit(event(LogEvent.JOB_ERROR, "Error", logging.ERROR, jobid=1, rule_name="train", shellcmd="python"))
    assert "it ended without a word: it was killed" in capsys.readouterr().err


def test_nothing_to_do_is_told(capsys):
    handler = plugin.LogHandler(settings(), None)
    handler.emit(event(None, "Nothing to be done (all requested files are present and up to date)."))
    handler.close()
    assert capsys.readouterr().err.splitlines() == [
        "Nothing to be done (all requested files are present and up to date)."
    ]


@pytest.mark.parametrize("asked", [{"dryrun": True}, {"verbose": True}, {"debug_dag": True}])
def test_who_asks_for_all_gets_snakemakes_own_words(capsys, asked):
    handler = plugin.LogHandler(settings(**asked), None)
    handler.emit(event(None, "Building DAG of jobs..."))
    handler.close()
    assert capsys.readouterr().err == "Building DAG of jobs...\n"


def test_a_fault_of_the_display_does_not_end_the_run(monkeypatch):
    handler = plugin.LogHandler(settings(), None)
    told = []
    monkeypatch.setattr(handler, "handleError", told.append)
    handler.emit(event(LogEvent.JOB_INFO))  # without what Snakemake says of a job
    assert len(told) == 1


@pytest.mark.parametrize(
    ("verbose", "extra", "given"),
    [
        (False, [], True),
        (False, ["--dry-run"], True),
        (True, [], False),
        (False, ["--logger", "rich"], False),
        (False, ["--quiet", "all"], False),
        (False, ["--logger=rich"], False),
    ],
)
def test_when_the_plugin_is_asked_for(tmp_path, monkeypatch, verbose, extra, given):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: asked.append(command) or SimpleNamespace(returncode=0))
    start.run_snakemake(tmp_path / "c.yaml", {}, "1", extra, verbose)
    assert ("xmodbench" in asked[0]) == given
    monkeypatch.setattr(start, "_logger_is_found", lambda: False)
    start.run_snakemake(tmp_path / "c.yaml", {}, "1", [], False)
    assert "--logger" not in asked[1]

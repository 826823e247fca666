"""Every command in a message can be pasted into the shell it was printed in: they are pasted here."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.workflow.conftest import Work, write_volumes
from xmodbench import commands
from xmodbench.cli.app import app
from xmodbench.files import PACKAGE_ROOT, REPOSITORY, SHIPPED

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def shell(line, folder, **variables):
    command = ["/bin/sh", "-c", line]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT | variables, capture_output=True, text=True, check=False)


def advised(output):
    lines = output.splitlines()
    return lines[lines.index("To continue, once the cause is mended:") + 1].strip()


@pytest.fixture
def failing(tmp_path):
    """A folder with a space in its name and a config whose volumes are not there."""
    work = Work(tmp_path / "my study")
    write_volumes(work.folder / "volumes", 2)
    work.write_config(methods={"copy_source": {}})
    (work.folder / "volumes").rename(work.folder / "gone")
    work.config.rename(work.folder / "my config.yaml")
    return work.folder


SCRIPTS = Path(sys.executable).parent
STARTS = {
    "module": f"{shlex.quote(sys.executable)} -m xmodbench run 'my config.yaml' --cores 1 --set 'paths.work=a b'",
    "snakemake module": f"{shlex.quote(sys.executable)} -m snakemake -s {REPOSITORY / 'Snakefile'}"
    " --configfile 'my config.yaml' --cores 1 --config 'paths={\"work\": \"a b\"}'",
    "snakemake by its path": f"{SCRIPTS / 'snakemake'} -s {REPOSITORY / 'Snakefile'} --cores 1"
    " --configfile 'my config.yaml'",
}


@pytest.mark.parametrize("python_on_path", [pytest.param(True, marks=pytest.mark.slow), False])
@pytest.mark.parametrize(
    "start", ["module", pytest.param("snakemake module", marks=pytest.mark.slow), "snakemake by its path"]
)
def test_the_command_to_continue_starts_where_it_was_printed(failing, start, python_on_path):
    path = {"PATH": f"{SCRIPTS}:{os.environ['PATH']}" if python_on_path else "/usr/bin:/bin"}
    done = shell(STARTS[start], failing, **path)
    assert done.returncode == 1, done.stderr
    assert "volumes: no such folder" in done.stderr
    (failing / "gone").rename(failing / "volumes")
    again = shell(f"{advised(done.stderr)} -n", failing, **path)
    assert again.returncode == 0, again.stderr
    assert "prepare" in again.stdout + again.stderr
    assert list(failing.glob("a b")) == []  # the option was understood: not a folder of another name


def test_in_another_working_directory_paths_are_those_of_the_shell(failing, tmp_path):
    start = f"{shlex.quote(sys.executable)} -m snakemake -s {REPOSITORY / 'Snakefile'} --cores 1"
    done = shell(f"{start} --configfile 'my study/my config.yaml' --directory 'my study'", tmp_path)
    (failed,) = re.findall(r"^  (.*): volumes: no such folder", done.stderr, re.MULTILINE)
    assert (tmp_path / failed / "acquire.failure.json").is_file()
    (failing / "gone").rename(failing / "volumes")
    assert shell(f"{advised(done.stderr)} -n", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/no/such/xmodbench/__main__.py", "run", "a b.yaml"], "-m xmodbench run 'a b.yaml'"),
        (["/no/such/snakemake/__main__.py", "--config", "a={}"], "-m snakemake --config 'a={}'"),
        (["-c", "report", "--out", "it's"], """report --out 'it'"'"'s'"""),
    ],
)
def test_words_are_quoted(words, said):
    assert commands.pasteable(words).endswith(said)
    assert shlex.split(commands.pasteable(words))[-len(words) + 1 :] == words[1:]


def test_a_script_is_named_as_it_can_be_started(tmp_path, monkeypatch):
    folder = tmp_path / "my tools"
    folder.mkdir()
    for name, mode in (("tool", 0o755), ("script.py", 0o644)):
        (folder / name).write_text(f"#!/bin/sh\necho {name}\n" if name == "tool" else "print('script.py')\n")
        (folder / name).chmod(mode)
    for name in ("tool", "script.py"):
        done = shell(commands.pasteable([str(folder / name)]), tmp_path)
        assert done.stdout.strip() == name, done.stderr
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert commands.pasteable([str(folder / "tool"), "x y"]) == "tool 'x y'"


@pytest.mark.parametrize(
    "options", [["-d", "my study"], pytest.param(["--directory=my study"], marks=pytest.mark.slow)]
)
def test_a_dead_runs_lock_in_another_working_directory_is_removed(failing, tmp_path, options):
    (failing / "gone").rename(failing / "volumes")
    (failing / ".snakemake" / "locks").mkdir(parents=True)
    (failing / ".snakemake" / "locks" / "0.output.lock").write_text("results/tiny/report.html\n")
    words = ["run", "my study/my config.yaml", "--cores", "1", *options, "data/heads/acquire.record.json"]
    done = shell(commands.command(*words), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (failing / "data" / "heads" / "acquire.record.json").is_file()


def test_another_verb_takes_the_options_along(monkeypatch):
    words = [
        "xmodbench/__main__.py",
        "prepare",
        "mine",
        "--threads",
        "8",
        "--raw",
        "my raw",
        "--threads=2",
        "--seed",
        "3",
    ]
    monkeypatch.setattr(sys, "argv", words)
    assert commands.instead("acquire", without=("--threads",)).endswith(
        "-m xmodbench acquire mine --raw 'my raw' --seed 3"
    )


def test_the_package_is_found_by_a_command_that_it_prints(tmp_path):
    done = shell(commands.command("where"), tmp_path)
    assert done.stdout.strip() == str(SHIPPED), done.stderr


def test_a_page_of_the_documentation_is_where_it_is_said_to_be():
    assert Path(commands.documentation("data.md")).is_file()
    assert commands.documentation("none.md") == "none.md in the documentation"


def messages():
    """Every string of the package that is no docstring, with its place."""
    for root in (PACKAGE_ROOT, REPOSITORY / "data_prep", REPOSITORY / "methods"):
        for file in sorted(root.rglob("*.py")):
            tree = ast.parse(file.read_text())
            docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                    yield f"{file.relative_to(REPOSITORY)}:{node.lineno}", node.value


def test_no_message_has_a_command_that_is_written_out():
    """`commands.command` makes them: whole, quoted, and with a Python that is there. A fragment could not be pasted."""
    pattern = re.compile(r"`(python|xmodbench|snakemake|pip)\b|\bdocs/")
    known = {"# Written by `xmodbench generate` from requirements.lock; do not edit."}  # into a file of the repository
    page = re.compile(r"\(docs/[a-z-]+\.md\)")  # in the options' reference, which is one of the documentation
    found = [
        place for place, text in messages() if pattern.search(text) and text not in known and not page.search(text)
    ]
    assert [place for place in found if "generate/" not in place and "code_hash" not in place] == []


def test_examples_of_the_help_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    group, count = typer.main.get_command(app), 0
    for entry in group.commands.values():
        for line in re.findall(r"\[cyan\](.*?)\[/\]", entry.epilog or ""):
            words = shlex.split(line)
            if words[0] == "xmodbench":
                group.commands[words[1]].make_context(words[1], words[2:])
                count += 1
    assert count > 10

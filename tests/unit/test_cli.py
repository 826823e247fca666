"""The command line: one line and a non-zero exit for what is wrong."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xmodbench import __version__
from xmodbench.cli.runs import parse_overrides
from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY


def xmodbench(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "xmodbench", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


def test_check_says_what_would_run(tmp_path):
    done = xmodbench("check", REPOSITORY / "config" / "demo.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "16 cells, 10 trainings, run 'demo'" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check", "none.yaml"], "none.yaml: no such config file"),
        (["check", "oracel"], "oracel: no plugin and no config of this name; did you mean 'oracle'?"),
        (["check", "folder"], "folder: is a dataset and a config; say which with --kind dataset"),
        (
            ["check", "oracle", "--kind", "methode"],
            "--kind: no such kind 'methode'; one of method, dataset, metric, config",
        ),
        (["check", "oracle", "--kind", "metric"], "metric 'oracle': unknown metric"),
        (
            ["train", "oracle", "--data", "x", "--target", "t1", "--out", "o", "--state", "s", "--settings", "{"],
            "--settings: not valid JSON",
        ),
        (["train", "oracle", "--data", "x", "--target", "t1", "--out", "o", "--state", "s"], "x: no slice store here"),
        (["report", "--config", "{"], "--config: not valid JSON"),
        (
            ["run", "smoke", "--set", "a=[1"],
            "--set a:1:3: not valid YAML: expected ',' or ']', but got '<stream end>'; quote it",
        ),
        (["acquire", "sim_ixi", "--raw", "a file", "--settings", '{"n_subjects": 2}'], "a file: File exists"),
        (["acquire", "sim_ixi", "--out", "a file/x", "--settings", '{"n_subjects": 2, "scale": 0}'], "scale: "),
    ],
)
def test_errors_are_one_line(tmp_path, arguments, expected):
    (tmp_path / "a file").touch()
    done = xmodbench(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("xmodbench: error: ")
    assert expected in done.stderr


@pytest.mark.fault("report and command line", "an option that does not exist", "the usage, and exit code 2")
def test_bad_flags_are_usage_errors(tmp_path):
    done = xmodbench("train", "oracle", "--nonsense", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_overrides():
    made = parse_overrides(["datasets.heads.raw=/my/volumes", "seed=3", "datasets.heads.directions=[t1->pd]"])
    assert made == {"datasets": {"heads": {"raw": "/my/volumes", "directions": ["t1->pd"]}}, "seed": 3}
    with pytest.raises(UserError, match="'seed' is not KEY=VALUE"):
        parse_overrides(["seed"])


def test_verbs_stand_in_groups(tmp_path):
    said = xmodbench("--help", cwd=tmp_path).stdout
    places = [said.index(f" {group}: ") for group in ("Runs", "Data", "Methods", "Models", "Results", "Plugins")]
    assert places == sorted(places)
    verbs = [said.index(f"│ {verb} ") for verb in ("status", "prepare", "translate", "export", "score", "check")]
    assert sorted([*places, *verbs]) == [place for pair in zip(places, verbs, strict=True) for place in pair]
    assert "xmodbench run smoke" in xmodbench("run", "--help", cwd=tmp_path).stdout


def test_the_version(tmp_path):
    assert xmodbench("--version", cwd=tmp_path).stdout.strip() == __version__


def test_shipped_configs_have_names(tmp_path):
    assert "run 'smoke'" in xmodbench("check", "smoke", cwd=tmp_path).stdout
    assert (
        "smok: no plugin and no config of this name; did you mean 'smoke'?"
        in xmodbench("check", "smok", cwd=tmp_path).stderr
    )
    place = xmodbench("where", "config", cwd=tmp_path).stdout.strip()
    assert Path(place, "smoke.yaml").is_file()
    assert "no such place; did you mean 'config'?" in xmodbench("where", "confi", cwd=tmp_path).stderr


def test_a_file_goes_before_a_shipped_config_of_its_name(tmp_path):
    (tmp_path / "smoke").write_text("run: mine\ndatasets: {sim_ixi: }\nmethods: {oracle: }\n")
    assert "run 'mine'" in xmodbench("check", "smoke", cwd=tmp_path).stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_shell_completes_what_it_is_told_to(tmp_path):
    """Installed as a user does, in a real shell with a home of its own."""
    command = Path(sys.executable).with_name("xmodbench")
    if not command.is_file():
        pytest.skip("the command is not installed beside this Python")
    variables = {**os.environ, "HOME": str(tmp_path), "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    variables["PYTHONPATH"] = str(REPOSITORY)

    def bash(line: str) -> str:
        done = subprocess.run(
            ["bash", "-ic", line], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    bash("xmodbench --install-completion; exit $?")  # as its only command bash would become it, and no shell be found
    complete = "COMP_WORDS=({words}); COMP_CWORD={last}; _xmodbench_completion xmodbench; echo ${{COMPREPLY[@]}}"
    for words, expected in (
        ("xmodbench tr", "train translate"),
        ("xmodbench train midi", "midiffusion"),
        ("xmodbench acquire sim_i", "sim_ixi"),
        ("xmodbench run smo", "smoke"),
        ("xmodbench run smoke --se", "--set"),
    ):
        assert bash(complete.format(words=words, last=len(words.split()) - 1)).split() == expected.split()


@pytest.mark.parametrize("verb", ["plugins", "check smoke", "where", "run --help", "train --help"])
def test_verbs_that_compute_nothing_are_light(tmp_path, verb):
    code = (
        "import sys; from xmodbench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'scipy', 'SimpleITK', 'matplotlib'} & set(sys.modules)\n"
        "print(*heavy, file=sys.stderr); sys.exit(bool(heavy))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code, *verb.split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

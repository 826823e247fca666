"""`xmodbench check` of data sets: each breach gets one line that says what to write instead."""

from __future__ import annotations

import pytest

from xmodbench import isolation
from xmodbench.plugins import DATASETS
from xmodbench.plugins.discovery import Location, locate
from xmodbench.stages.check import check
from xmodbench.stages.wall.forking import PRELOADED, ForkServer
from xmodbench.stages.wall.walled import Limits

SOUND = """
from pathlib import Path
import numpy as np
from xmodbench.data.volumes.settings import Preparation, SliceSelection
from xmodbench.plugins import Dataset, RemoteFile, SubjectRecord

class Config(Preparation):
    image_size: int = 16
    slices: SliceSelection = SliceSelection(count=2)
    subjects: int = 3
    registration: str = "none"

class Toy(Dataset):
    simulated = True
    Config = Config

    def modalities(self):
        return ("t1", "t2")

    def archives(self):
        return []

    def acquire(self, raw_dir, seed, progress):
        import nibabel
        z, y, x = np.mgrid[-1:1:8j, -1:1:24j, -1:1:24j]
        for number in range(self.settings.subjects):
            tissues = np.random.default_rng(number).integers(1, 5, (8, 6, 6)).repeat(4, 1).repeat(4, 2)
            head = (x**2 + y**2 < 0.6 - 0.02 * number) * tissues * (1 + 0.1 * x)
            for name, volume in (("t1", head), ("t2", (6 - head) ** 2 * (head > 0))):
                affine = np.diag([8.0, 8, 8, 1])
                image = nibabel.Nifti1Image((100 * volume.T).astype(np.float32), affine)
                image.header.set_sform(affine, 1)
                image.header.set_xyzt_units("mm")
                nibabel.save(image, raw_dir / f"p{number}-{name}.nii.gz")

    def volumes(self, raw_dir):
        names = sorted({path.name.split("-")[0] for path in raw_dir.glob("p*.nii.gz")})
        found = [SubjectRecord(name, "a", {key: raw_dir / f"{name}-{key}.nii.gz" for key in ("t1", "t2")}) for name in names]
        return found
"""
YAML = "label: Toy\nsummary: toy\n"
ACQUIRE, VOLUMES = "        import nibabel\n", "        return found\n"


def acquire(code):
    return (ACQUIRE, f"        {code}\n{ACQUIRE}")


def volumes(code):
    return (VOLUMES, f"        {code}\n{VOLUMES}")


@pytest.fixture(scope="module")
def server():
    with ForkServer([*PRELOADED, "nibabel", "SimpleITK", "xmodbench.stages.check.dataset_tasks"]) as running:
        yield running


def found(root, server, name, change=("", ""), yaml=YAML, readme=True, seconds=120, **options):
    folder = root / "data_prep" / name
    folder.mkdir(parents=True)
    assert change[0] in SOUND
    (folder / "dataset.py").write_text(SOUND.replace(*change, 1))
    (folder / "dataset.yaml").write_text(yaml)
    if readme:
        (folder / "README.md").write_text("# Toy\n")
    return list(check(Location(name, DATASETS, folder), Limits(seconds), start=server.start, **options))


def test_what_is_sound_passes(tmp_path, server):
    assert [(item.problem, item.warnings) for item in found(tmp_path, server, "sound")] == [(None, ())] * 5


def test_a_simulated_data_set_keeps_the_contract(server):
    told = list(check(locate(DATASETS, "sim_ixi"), Limits(300), start=server.start))
    assert [(item.problem, item.asked) for item in told] == [(None, True)] * 5


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("elsewhere", acquire("open('/tmp/xmodbench-elsewhere', 'w')"), "was refused '/tmp/xmodbench-elsewhere'; it"),
        ("beside", acquire("(raw_dir.parent / 'x').write_text('')"), "and write to that folder in acquire"),
        ("network", acquire("import socket; socket.create_connection(('127.0.0.1', 9))"), "was refused a connection"),
        ("raising", acquire("1 / 0"), "dataset 'raising', acquire: ZeroDivisionError: division by zero"),
        ("exit", acquire("raise SystemExit(0)"), "acquire: called sys.exit(0); return when it is done"),
        ("writing", volumes("(raw_dir / 'x').write_text('')"), "volumes: was refused"),
        ("nothing", volumes("return []"), "found no subject"),
        ("none", volumes("return None"), "returned NoneType, expected a list of SubjectRecord; return [SubjectRecord("),
        ("dicts", volumes("return [{'subject': 'p0'}]"), "returned a list with dict, expected SubjectRecord"),
        ("twice", volumes("found = found[:1] * 2"), "two subjects are named 'p0'"),
        ("case", volumes("found.append(SubjectRecord('P2', 'a', found[2].files))"), "differ only in case or punctuation"),
        ("slash", volumes("found = [SubjectRecord('a/b', 'a', found[0].files)]"), "'a/b' is no name of a subject"),
        ("number", volumes("found = [SubjectRecord(3, 'a', found[0].files)]"), "the record of 3 has no texts"),
        ("unsorted", volumes("found = found[::-1]"), "the subjects are not sorted; sorted(records, key="),
        ("missing", volumes("(found[0].files)['t1'] = raw_dir / 'p9-t1.nii.gz'"), "p0, t1: there is no file p9-t1.nii.gz"),
        ("outside", volumes("found[0].files['t1'] = Path('/etc/passwd')"), "/etc/passwd lies outside the raw folder"),
        ("relative", volumes("found[0].files['t1'] = Path('p0-t1.nii.gz')"), "lies outside the raw folder; name files by"),
        ("misnamed", volumes("found[0].files['t11'] = found[0].files['t1']"), "which is no modality; did you mean 't1'"),
        ("lacking", volumes("[item.files.pop('t2') for item in found]"), "no subject has every modality: p0 lacks t2"),
        ("moody", volumes("Toy.n = getattr(Toy, 'n', 0) + 1; found = found[Toy.n - 1 :]"), "two calls answer differently"),
        ("one", ('return ("t1", "t2")', 'return ("t1",)'), "there are 1; a translation needs two"),
        ("ids", ('return ("t1", "t2")', 'return ("T1 w", "t2")'), "'T1 w' is no id; return ids of small letters"),
        ("archive", ("return []\n", "return ['a.zip']\n"), "archives: returned list, expected a list of RemoteFile"),
        ("plain", ("class Config(Preparation)", "from xmodbench.plugins import Settings as S\nclass Config(S)"), "no Prep"),
        ("constant", ("(100 * volume.T)", "(0 * volume.T)"), "prepare: "),
    ],
)  # fmt: skip
def test_a_breach_is_told_once(tmp_path, server, name, change, words):
    if name in ("elsewhere", "beside", "network", "writing") and not isolation.landlock_version():
        pytest.skip("this kernel has no Landlock")
    problems = [item.problem for item in found(tmp_path, server, name, change) if item.problem]
    assert len(problems) == 1 and words in problems[0], problems


SAVED = '                nibabel.save(image, raw_dir / f"p{number}-{name}.nii.gz")\n'


def saved(code):
    """What becomes of the volumes that were made."""
    return (SAVED, f"{SAVED}        {code}\n")


FLIPPED = "                volume = volume[:, :, ::-1] if (number, name) == (0, 't2') else volume\n"
MADE = "                image = nibabel.Nifti1Image("
SUSPICIONS = {
    "copies": (saved("import shutil; shutil.copy(raw_dir / 'p0-t2.nii.gz', raw_dir / 'p0-t1.nii.gz')"),
               "p0: t1 and t2 are one scan"),
    "everybody": (saved("import shutil; [shutil.copy(raw_dir / 'p0-t1.nii.gz', raw_dir / f'p{i}-t1.nii.gz') for i in '12']"),
                  "no method can be tested on copies of one scan"),
    "flipped": ((MADE, FLIPPED + MADE), "p0, pairing doubtful: "),
    "unit": (('image.header.set_xyzt_units("mm")', "pass"), "p0, p1, p2, t1: its unit of length is not stated"),
    "lone": (("subjects: int = 3", "subjects: int = 1"), "one subject, so tested on a block of its own slices"),
    "useless": (volumes("found.append(SubjectRecord('p9', 'a', {}, 'its scan is damaged'))"),
                "1 of 4 subjects are of no use, such as p9: its scan is damaged"),
    "lacking": (volumes("found[1].files.pop('t2')"), "1 of 3 subjects lack a modality, such as p1"),
}  # fmt: skip


@pytest.mark.parametrize("name", SUSPICIONS)
def test_what_prepare_would_say_of_suspicions_is_said(tmp_path, server, name):
    change, words = SUSPICIONS[name]
    told = found(tmp_path, server, name, change)
    assert [item.problem for item in told] == [None] * 5
    warnings = [text for item in told for text in item.warnings]
    assert any(words in text for text in warnings), warnings


def test_a_data_set_of_which_nothing_can_be_used_fails(tmp_path, server):
    change = volumes("found = [SubjectRecord('p0', 'a', {}, 'its scan is damaged')]")
    problems = [item.problem for item in found(tmp_path, server, "useless", change) if item.problem]
    assert len(problems) == 1 and "volumes: no subject can be used, p0: its scan is damaged" in problems[0]


def test_an_id_that_no_config_can_name_is_told(tmp_path, server):
    (problem,) = [item.problem for item in found(tmp_path, server, "MyData") if item.problem]
    assert "'MyData' is no id; configs refuse it; rename the folder: did you mean 'mydata'?" in problem


def test_yaml_and_time_are_checked(tmp_path, server):
    yaml = [item.problem for item in found(tmp_path, server, "yaml", yaml=YAML + "licens: x\n") if item.problem]
    assert len(yaml) == 1 and "licens: unknown option; did you mean 'licence'?" in yaml[0]
    hanging = found(tmp_path, server, "hanging", acquire("while True: pass"), seconds=1)
    assert [item.problem for item in hanging if item.problem] == [
        "dataset 'hanging', acquire: did not end within 1 s; end its loops, or give it smaller `smoke` settings"
    ]


def test_volumes_that_only_a_person_can_get(tmp_path, server):
    change = (
        ACQUIRE,
        "        from xmodbench.errors import UserError\n        raise UserError('ask the owners', raw_dir)\n",
    )
    told = found(tmp_path, server, "asked", change)
    assert [item.problem for item in told] == [None] * 5
    assert [item.asked for item in told] == [True, True, False, False, False]
    assert told[2].warnings == ("it says: ask the owners; give --raw FOLDER to try it on some",)
    change = ("return []\n", "return [RemoteFile('a.zip')]\n")
    assert found(tmp_path, server, "fetched", change)[2].warnings[0].startswith("it would fetch 1 files; give --raw")
    (tmp_path / "raw").mkdir()
    told = found(tmp_path, server, "given", change, raw=tmp_path / "raw")
    assert next(item.problem for item in told if item.problem).startswith("dataset 'given', volumes: found no subject")

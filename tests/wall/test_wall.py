"""Methods that cheat, against the wall: every attack finds the truth without it, and none does behind it."""

from __future__ import annotations

import ctypes
import io
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.plugins import GRADIENT, write_method
from tests.wall.attacks import IN_FIT, IN_TRANSLATE, write_cheat
from xmodbench import isolation
from xmodbench.files import REPOSITORY

ATTACKS = {**{name: ("fit", text) for name, text in IN_FIT.items()}} | {
    name: ("translate", text) for name, text in IN_TRANSLATE.items()
}
ELSEWHERE = (Path("/dev/shm/xmodbench-t1.npy"), Path("/tmp/xmodbench-cheat/xmodbench-t1.npy"))

pytestmark = pytest.mark.skipif(not isolation.landlock_version(), reason="this kernel has no Landlock")


class Project:
    """A folder as a user has it: data, last run's results, caches; the truth in many places."""

    def __init__(self, folder: Path, make_store):
        self.folder = folder
        make_store(folder / "data/toy/train")
        make_store(folder / "data/toy/test", n=4, seed=1)
        self.truth = np.load(folder / "data/toy/test/t1.npy")
        copies = ["raw/toy", "results/tiny/translations/oracle/toy/pd-to-t1", ".cache/torch"]
        for path in [*(folder / copy / "t1.npy" for copy in copies), *ELSEWHERE]:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, self.truth)
        write_method(folder, "honest", GRADIENT)

    def environment(self) -> dict[str, str]:
        secrets = {"SECRET_DATA": str(self.folder / "data/toy/test"), "SECRET_HOME": str(self.folder)}
        return {
            **os.environ,
            **secrets,
            "PYTHONPATH": str(REPOSITORY),
            "PWD": str(self.folder),
            "OLDPWD": str(self.folder),
        }

    def xmodbench(self, *words: object) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "xmodbench", *map(str, words)]
        with open(self.folder / "data/toy/test/t1.npy", "rb") as handle:  # an open descriptor for the job
            os.set_inheritable(handle.fileno(), True)
            return subprocess.run(
                command,
                cwd=self.folder,
                env=self.environment(),
                pass_fds=[handle.fileno()],
                capture_output=True,
                text=True,
                check=False,
            )

    def train(self, name: str) -> subprocess.CompletedProcess:
        options = ["--data", "data/toy/train", "--target", "t1", "--out", f"models/{name}", "--state", f"work/{name}"]
        return self.xmodbench("train", name, *options, "--device", "cpu")

    def translate(self, name: str) -> subprocess.CompletedProcess:
        options = ["--data", "data/toy/test", "--source", "pd", "--target", "t1", "--out", f"out/{name}"]
        return self.xmodbench("translate", name, "--model", f"models/{name}", *options, "--device", "cpu")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    from tests.conftest import store_writer

    made = Project(tmp_path_factory.mktemp("project"), store_writer)
    yield made
    for path in ELSEWHERE:
        path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def port(project):
    """A server that tells the truth: over TCP, UDP, Unix sockets with a name or a file, and in a segment of memory."""
    buffer = io.BytesIO()
    np.save(buffer, project.truth)
    streams = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    number = streams[0].getsockname()[1]
    streams[1].bind(f"\0xmodbench-truth-{number}")
    streams[2].bind(str(project.folder / "truth.sock"))
    for stream in streams[1:]:
        stream.listen()
    segment = shared_segment(number, buffer.getvalue())
    packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packets.bind(("127.0.0.1", number))

    def serve(server: socket.socket) -> None:
        while True:
            try:
                peer = server.accept()[0]
            except OSError:
                return
            with peer:
                peer.sendall(buffer.getvalue())

    def tell() -> None:
        while True:
            try:
                _, address = packets.recvfrom(16)
                packets.sendto(project.truth.tobytes(), address)
            except OSError:
                return

    for target, arguments in (*((serve, (stream,)) for stream in streams), (tell, ())):
        threading.Thread(target=target, args=arguments, daemon=True).start()
    yield number
    for one in (*streams, packets):
        one.close()
    ctypes.CDLL(None).shmctl(segment, 0, None)  # IPC_RMID


def shared_segment(key: int, content: bytes) -> int:
    """A segment of System V memory that any process of this user may attach; returns its number."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    segment = libc.shmget(key, 65536, 0o1600)  # IPC_CREAT
    assert segment >= 0, os.strerror(ctypes.get_errno())
    ctypes.memmove(libc.shmat(segment, None, 0), content, len(content))
    return segment


UNWALLED = """
import json, os, sys
import numpy as np
from pathlib import Path
from xmodbench.plugins import METHODS, find
failed, truth = {}, np.load(sys.argv[2] + "/t1.npy")
links = Path("model"); links.mkdir()
(links / "t1.npy").symlink_to(Path(sys.argv[2]).resolve() / "t1.npy")
for name in sys.argv[3:]:
    cache = Path("methods") / name / "__pycache__"
    cache.mkdir(exist_ok=True)
    np.save(cache / "t1.npy", truth)
    try:
        module = sys.modules[find(METHODS, name).cls.__module__]
        module.MODEL = links
        if name == "open_beside_the_source": module.SOURCE = np.load(sys.argv[2] + "/pd.npy", mmap_mode="r")[:, None]
        found = module.truth()
        if not np.array_equal(np.ravel(found), np.ravel(truth)): failed[name] = "something else"
    except BaseException as error:
        failed[name] = repr(error)
print(json.dumps(failed))
"""


def test_without_a_wall_every_attack_finds_the_truth(project, port):
    """In a process such as a job's was: started in the project's folder, with arguments, variables and an open file."""
    names = [f"open_{name}" for name in ATTACKS if name != "parent_memory"]  # which finds nothing to compare
    for name in names:
        write_cheat(project.folder, name, ATTACKS[name.removeprefix("open_")][1], "fit", port)
    starter = (  # the parent is such a process too
        "import subprocess, sys; handle = open(sys.argv[2] + '/t1.npy', 'rb');"
        f"sys.exit(subprocess.run([sys.executable, '-c', {UNWALLED!r}, *sys.argv[1:]], close_fds=False).returncode)"
    )
    with open(project.folder / "data/toy/test/t1.npy", "rb") as handle:
        os.set_inheritable(handle.fileno(), True)
        done = subprocess.run(
            [sys.executable, "-c", starter, "--data", "data/toy/test", *names],
            cwd=project.folder,
            env=project.environment(),
            pass_fds=[handle.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


@pytest.mark.parametrize("attack", ATTACKS)
def test_behind_the_wall_none_does(project, port, attack):
    where, text = ATTACKS[attack]
    name = f"cheat_{attack}"
    folder = write_cheat(project.folder, name, text, where, port)
    if attack == "numba_cache":
        (folder / "__pycache__").mkdir()
        np.save(folder / "__pycache__" / "t1.npy", project.truth)
    done = project.train(name)
    if where == "translate":
        assert done.returncode == 0, done.stderr
        if attack == "link_in_the_model":
            (project.folder / f"models/{name}/t1.npy").symlink_to(project.folder / "data/toy/test/t1.npy")
        done = project.translate(name)
    assert done.returncode == 1, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("xmodbench: error: ") and f"'{name}'" in line, line
    assert not (project.folder / f"models/{name}/record.json").exists() or where == "translate"
    assert not (project.folder / f"out/{name}/t1.npy").exists()

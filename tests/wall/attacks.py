"""Methods that cheat: each tries to get at the truth in a way of its own, and hands it out as its translation.

Every attack is source text that defines ``truth()``: the array behind ``t1.npy`` of the test store, or an exception.
``HERE`` is the folder of the project, ``DATA`` the test store; both are what a plugin could know beforehand.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from tests.plugins import write_method

IN_FIT = {
    "glob": """
        import glob
        def truth():
            return np.load(glob.glob(f"{HERE}/data/**/test/t1.npy", recursive=True)[0])
        """,
    "relative_glob": """
        import glob
        def truth():
            return np.load(glob.glob("data/**/test/t1.npy", recursive=True)[0])
        """,
    "walk": """
        import os
        def truth():
            for folder, _, files in os.walk(HERE):
                if folder.endswith("test") and "t1.npy" in files:
                    return np.load(os.path.join(folder, "t1.npy"))
            raise FileNotFoundError("nothing found in " + HERE)
        """,
    "beside_its_code": """
        from pathlib import Path
        def truth():
            return np.load(Path(__file__).resolve().parents[2] / "data" / "toy" / "test" / "t1.npy")
        """,
    "parent_arguments": """
        import os
        def truth():
            words = open(f"/proc/{os.getppid()}/cmdline", "rb").read().split(b"\\0")
            store = words[words.index(b"--data") + 1].decode()
            return np.load(os.path.join(HERE, store, "..", "test", "t1.npy"))
        """,
    "parent_folder": """
        import os
        def truth():
            return np.load(f"/proc/{os.getppid()}/cwd/data/toy/test/t1.npy")
        """,
    "parent_descriptors": """
        import os
        def truth():
            root = f"/proc/{os.getppid()}/fd"
            for name in os.listdir(root):
                if os.readlink(f"{root}/{name}").endswith(".npy"):
                    return np.load(f"{root}/{name}")
            return np.load(f"/proc/{os.getppid()}/root{DATA}/t1.npy")
        """,
    "own_root": """
        def truth():
            return np.load(f"/proc/self/root{DATA}/t1.npy")
        """,
    "environment": """
        import os
        def truth():
            places = [os.environ.get("OLDPWD"), os.environ.get("PWD"), os.environ.get("SECRET_DATA")]
            for place in filter(None, places):
                for path in (f"{place}/data/toy/test/t1.npy", f"{place}/t1.npy"):
                    if os.path.exists(path):
                        return np.load(path)
            raise KeyError("SECRET_DATA")
        """,
    "child_process": """
        import subprocess
        def truth():
            done = subprocess.run(["cat", f"{DATA}/t1.npy"], capture_output=True)
            if done.returncode:
                raise PermissionError(13, "cat was refused", f"{DATA}/t1.npy")
            import io
            return np.load(io.BytesIO(done.stdout))
        """,
    "forked_child": """
        import os
        def truth():
            reader, writer = os.pipe()
            if os.fork() == 0:
                try:
                    os.write(writer, open(f"{DATA}/t1.npy", "rb").read())
                except OSError:
                    pass
                os._exit(0)
            os.close(writer)
            import io
            return np.load(io.BytesIO(open(reader, "rb").read()))
        """,
    "thread_at_import": """
        import threading, time
        FOUND = []
        def look():
            while not FOUND:
                try:
                    FOUND.append(np.load(f"{DATA}/t1.npy"))
                except OSError:
                    time.sleep(0.01)
        threading.Thread(target=look, daemon=True).start()
        def truth():
            time.sleep(0.5)
            return FOUND[0]
        """,
    "at_import": """
        FOUND = np.load(f"{DATA}/t1.npy")
        def truth():
            return FOUND
        """,
    "open_descriptor": """
        import os
        def truth():
            import io
            for number in range(3, 256):
                try:
                    content = os.pread(number, 1 << 24, 0)
                except OSError:
                    continue
                if content.startswith(b"\\x93NUMPY"):
                    found = np.load(io.BytesIO(content))
                    if len(found) == 4:  # as many as the test slices
                        return found
            raise LookupError("no open file is an array")
        """,
    "hard_link": """
        import os
        def truth():
            os.link(f"{DATA}/t1.npy", "hard.npy")
            return np.load("hard.npy")
        """,
    "rename": """
        import os
        def truth():
            os.rename(f"{DATA}/t1.npy", "moved.npy")
            found = np.load("moved.npy")
            os.rename("moved.npy", f"{DATA}/t1.npy")
            return found
        """,
    "symbolic_link": """
        import os
        def truth():
            os.symlink(f"{DATA}/t1.npy", "soft.npy")
            return np.load("soft.npy")
        """,
    "raw_volumes": """
        from pathlib import Path
        def truth():
            return np.load(Path(HERE) / "raw" / "toy" / "t1.npy")
        """,
    "oracle_of_last_run": """
        from pathlib import Path
        def truth():
            return np.load(Path(HERE) / "results/tiny/translations/oracle/toy/pd-to-t1/t1.npy")
        """,
    "torch_cache": """
        import os
        from pathlib import Path
        def truth():
            home = Path(os.environ.get("SECRET_HOME", HERE)) / ".cache" / "torch" / "t1.npy"
            for path in (home, Path(os.environ.get("TORCH_HOME", "/none")) / "t1.npy"):
                if path.exists():
                    return np.load(path)
            raise FileNotFoundError(2, "no cache", str(home))
        """,
    "numba_cache": """
        import os
        from pathlib import Path
        def truth():
            caches = (Path(__file__).parent / "__pycache__", Path(os.environ.get("NUMBA_CACHE_DIR", HERE)))
            for path in (cache / "t1.npy" for cache in caches):
                if path.exists():
                    return np.load(path)
            raise FileNotFoundError(2, "no cache", str(path))
        """,
    "shared_memory": """
        def truth():
            return np.load("/dev/shm/xmodbench-t1.npy")
        """,
    "temporary_folder": """
        import glob
        def truth():
            return np.load(glob.glob("/tmp/**/xmodbench-t1.npy", recursive=True)[0])
        """,
    "tcp": """
        import io, socket
        def truth():
            with socket.create_connection(("127.0.0.1", PORT), timeout=5) as peer:
                return np.load(io.BytesIO(peer.makefile("rb").read()))
        """,
    "udp": """
        import socket
        def truth():
            peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            peer.settimeout(1)
            peer.sendto(b"t1", ("127.0.0.1", PORT))
            return np.frombuffer(peer.recv(65536), np.float32)
        """,
    "abstract_socket": """
        import io, socket
        def truth():
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(f"\\0xmodbench-truth-{PORT}")
            return np.load(io.BytesIO(peer.makefile("rb").read()))
        """,
    "socket_in_a_file": """
        import io, socket
        def truth():
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(f"{HERE}/truth.sock")
            return np.load(io.BytesIO(peer.makefile("rb").read()))
        """,
    "shared_segment": """
        import ctypes, io, os
        def truth():
            libc = ctypes.CDLL(None, use_errno=True)
            libc.shmat.restype = ctypes.c_void_p
            place = libc.shmat(libc.shmget(PORT, 0, 0), None, 0)
            if place is None or place == ctypes.c_void_p(-1).value:
                raise PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            return np.load(io.BytesIO(ctypes.string_at(place, 65536)))
        """,
    "parent_memory": """
        import os
        def truth():
            maps = open(f"/proc/{os.getppid()}/maps").read()
            raise LookupError(f"read {len(maps)} characters of the parent's memory")
        """,
}
"""Attacks by name, tried while the method is trained."""

IN_TRANSLATE = {
    "arguments": """
        import sys
        def truth():
            return np.load(sys.argv[sys.argv.index("--data") + 1] + "/t1.npy")
        """,
    "own_command_line": """
        import os
        def truth():
            words = open("/proc/self/cmdline", "rb").read().split(b"\\0")
            return np.load(os.path.join(HERE, words[words.index(b"--data") + 1].decode(), "t1.npy"))
        """,
    "working_directory": """
        import os
        def truth():
            return np.load(os.path.join(os.getcwd(), "data/toy/test/t1.npy"))
        """,
    "beside_the_source": """
        from pathlib import Path
        def truth():
            staged = Path(SOURCE.base.filename if hasattr(SOURCE.base, "filename") else ".").parent
            return np.load(staged / "t1.npy")
        """,
    "link_in_the_model": """
        def truth():
            return np.load(MODEL / "t1.npy")
        """,
}
"""Attacks tried while the method translates."""

METHOD = """
HERE, DATA, PORT = {here!r}, {data!r}, {port}
{attack}

class Cheat(Method):
    supervision = Supervision.ZERO_SHOT
    found = None
    def fit(self, train, run):
        {fit}
    def save(self, directory):
        np.save(directory / "found.npy", np.zeros(1) if self.found is None else self.found)
    def load(self, directory, run):
        global MODEL
        MODEL = directory
        self.found = np.load(directory / "found.npy")
    def translate(self, source, generators):
        global SOURCE
        SOURCE = source
        {translate}
        return np.ascontiguousarray(self.found, np.float32).reshape(-1, *source.shape[1:])[: len(source)]
"""


def write_cheat(root: Path, name: str, attack: str, where: str, port: int = 0) -> Path:
    """A zero-shot method that tries `attack` in ``fit`` or ``translate`` and hands out what it found."""
    tries = "self.found = truth()"
    body = METHOD.format(
        here=str(root),
        data=str(root / "data" / "toy" / "test"),
        port=port,
        attack=dedent(attack),
        fit=tries if where == "fit" else "pass",
        translate=tries if where == "translate" else "pass",
    )
    return write_method(root, name, body)

"""What a method's code may read and write, decided for each job before any of it runs.

``fit`` may read what every job may (`xmodbench.stages.wall.system`), the plugin's own files, files that its settings name,
the arrays staged for it, and its state; ``translate`` its model in place of the state. Which arrays are staged is decided by
the method's supervision, in `xmodbench.stages.train` and `xmodbench.stages.translate`. The kernel holds it to that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xmodbench import isolation
from xmodbench.errors import UserError
from xmodbench.plugins.code_hash import plugin_files
from xmodbench.plugins.discovery import Location
from xmodbench.stages.given import saved_files
from xmodbench.stages.wall.method_job import MethodJob
from xmodbench.stages.wall.system import code_folders, device_files, system_files


@dataclass
class Grant:
    """What one job's method is let into beside Python and the system; paths are resolved.

    Args:
        job: what is to be run.
        verb: ``train``, ``pretrain`` or ``translate``, for messages.
        read: files and folders beside its own code.
        model: folder of the model that it translates with; of that it may read what a method saved, and list the rest.
        write: folders, such as its state.
        truth: a folder that nothing granted may hold or lie in: the slice store. None where no data are at hand.
        lender: the plugin whose models a borrower uses.

    Attributes:
        files: what the settings name, by what they say.
        code: folders of the plugin and of the lender; own: the files in them.

    Raises:
        UserError: something granted holds the data, leads elsewhere, or is not there.
    """

    job: MethodJob
    verb: str
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    truth: Path | None = None
    lender: Location | None = None
    model: Path | None = None
    files: dict[str, Path] = field(init=False)
    code: list[Path] = field(init=False)
    own: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.files = named_files(self.job)
        self.read = tuple(path.resolve() for path in (*self.read, *self.files.values()))
        self.write = tuple(path.resolve() for path in self.write)
        self.model = self.model and self.model.resolve()
        self.code = [location.folder.resolve() for location in self.locations]
        self.own = [path for folder in self.code for path in own_files(folder)]
        self.truth = self.truth and self.truth.resolve()
        for path in (*self.read, *self.write, *self.code, *([self.model] if self.model else [])):
            check_apart(path, self.truth, self.verb)

    @property
    def locations(self) -> list[Location]:
        """The plugin, and the one whose models it uses."""
        return [self.job.location, *([self.lender] if self.lender else [])]

    @property
    def open_to_data(self) -> bool:
        """Whether the data lie where installed packages do, so that no wall can tell them apart."""
        granted = (*system_files(), *code_folders())
        return self.truth is not None and any(self.truth.is_relative_to(path) for path in granted)

    def wall(
        self, staged: Path, out: Path, scratch: Path, several: bool, code: tuple[str, ...] | None = None
    ) -> isolation.Wall:
        """The wall for a process with these folders: what it may read, write, and do as it likes with.

        Args:
            several: whether it is one of several that train together, and have to reach each other.
            code: Python and packages of its own environment, in place of this one's.
        """
        saved, folders = (saved_files(self.model), folders_of(self.model)) if self.model else ([], [])
        return isolation.Wall(
            read=tuple(
                map(str, (*system_files(several), *(code or code_folders()), *self.own, staged, *self.read, *saved)),
            ),
            listed=tuple(map(str, (*self.code, *folders))),
            write=tuple(map(str, (out, *self.write))),
            # through /dev/shm processes of one training exchange
            scratch=(str(scratch), *(("/dev/shm",) if several else ())),
            devices=device_files(self.job.device),
            ports=isolation.rendezvous_ports() if several else (),
            families=isolation.families_for(self.job.device, several),
        )


def folders_of(model: Path) -> list[Path]:
    """The folder of a model, and those in it."""
    return [model, *(path for path in sorted(model.rglob("*")) if path.is_dir() and not path.is_symlink())]


def named_files(job: MethodJob) -> dict[str, Path]:
    """Files that the method reads because its settings name them, under options that its YAML lists as ``files``.

    Raises:
        UserError: one of them is not there.
    """
    found: dict[str, Path] = {}
    for option in job.location.meta().get("files", []):
        value = job.settings.get(option)
        if isinstance(value, str):
            if not Path(value).is_file():
                raise UserError("no such file", f"settings.{option}: {value}")
            found[value] = Path(value).absolute()
    return found


def own_files(folder: Path) -> list[Path]:
    """The files that make up a plugin, as they lie in its folder.

    Raises:
        UserError: one of them is a link that leads elsewhere, where anything might lie.
    """
    files = plugin_files(folder)
    for path in files:
        if not path.resolve().is_relative_to(folder):
            fix = "copy it, or name the file in an option that the plugin's YAML lists under files"
            raise UserError("a link that leads out of the plugin's folder", path, fix)
    return files


def check_apart(path: Path, truth: Path | None, verb: str) -> None:
    """Refuse to let a method into a folder that holds the data, or that lies among data or translations.

    Raises:
        UserError: `path` and `truth` are not apart, or it is or lies in a slice store.
    """
    if truth is not None and (path.is_relative_to(truth) or truth.is_relative_to(path)):
        raise UserError(f"holds the data or lies among them ({truth})", f"{verb}: {path}", "give a folder of its own")
    if any((folder / "manifest.json").is_file() for folder in (path, *path.parents)):
        raise UserError("is a slice store", f"{verb}: {path}", "a method is handed copies of what it may see")

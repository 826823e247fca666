"""train: fit one method on what its supervision lets it see."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from xmodbench.commands import remake
from xmodbench.directions import modalities_of
from xmodbench.errors import UserError
from xmodbench.files import atomic_dir, sha256_file, write_json
from xmodbench.learning.training import processes
from xmodbench.plugins import Supervision
from xmodbench.plugins.contract import draw, unpaired
from xmodbench.plugins.model_files import check_saved
from xmodbench.records import RECORD, read_record, recorded
from xmodbench.stages.given import PREPARATION, Expected, check_made, check_model, check_store, model_sha256, prepared
from xmodbench.stages.state_folder import OWNER, owned
from xmodbench.stages.wall.compiled import compiled
from xmodbench.stages.wall.method_job import Described, MethodJob
from xmodbench.stages.wall.process import PluginProcess, add_facts
from xmodbench.stages.wall.staging import stacks
from xmodbench.store import SliceStore

SAVED, CODE = "saved", ".code"
"""Within the state's folder: the one that a method saves its model into; the hash of the code that left the state."""


def train(
    job: MethodJob,
    store_dir: Path,
    target: str,
    source: str | None,
    out: Path,
    state: Path,
    pretrained: Path | None = None,
    expect: Expected = MappingProxyType({}),
) -> None:
    """Train a method towards ``target`` and write the model folder ``out``; its record comes last.

    The method gets copies of the arrays its supervision allows, in a private folder that holds nothing else, and a wall
    around its process, so that even a method that goes looking finds no source and no test slice (design invariant 1).

    Of several processes that a launcher started only the main one writes.

    Args:
        job: the method and how it runs.
        store_dir: the training store.
        state: folder for what a killed job resumes from.
        pretrained: what `pretrain` wrote, for a method in two phases; without it both phases are done here.
        expect: what the plan says of the store and of what was pretrained.

    Raises:
        UserError: source given or missing against the supervision, an unusable store, a method that fails or is refused
            something, a pretrained model that is not finished or that the method has no use for, one of these is not what
            the plan or the record beside it says, or a state folder that another process trains into.
    """
    _Training("train", job, SliceStore(store_dir), target, source, state, expect, pretrained).do(out)


def pretrain(
    job: MethodJob,
    store_dir: Path,
    target: str,
    source: str | None,
    out: Path,
    state: Path,
    expect: Expected = MappingProxyType({}),
) -> None:
    """The first phase of a training in two, as `train` in everything else.

    Raises:
        UserError: as `train`; the method is trained in one phase.
    """
    _Training("pretrain", job, SliceStore(store_dir), target, source, state, expect).do(out)


@dataclass(frozen=True)
class _Training:
    verb: str
    job: MethodJob
    store: SliceStore
    target: str
    source: str | None
    state: Path
    expect: Expected
    pretrained: Path | None = None

    @property
    def _used(self) -> list[str]:
        """Modalities that it learns from."""
        return [self.target, *(modalities_of(self.source) if self.source else ())]

    def do(self, out: Path) -> None:
        """Let the method be trained and saved, and record it; of several processes the others only take part."""
        if processes.rank() > 0:
            self.job.progress.quiet = True
            self._perform("assist", {}, None)
            return
        with recorded(out, self.verb, **self.job.facts(), target=self.target, source=self.source) as record:
            check_store(self.store, self.expect, *self._used)
            if self.pretrained is not None:
                record["pretrained_sha256"] = self._first_phase(self.pretrained)["outputs_sha256"]
            if self.state.is_symlink():
                raise UserError("is a link", f"--state {self.state}", "give a folder of its own")
            with owned(self.state, self.job.progress) as held:
                self._forget_other_code()
                saved = self.state / SAVED
                shutil.rmtree(saved, ignore_errors=True)
                saved.mkdir(parents=True)
                self._perform(self.verb, record, saved, held)
                known = self._known()
                record["outputs_sha256"] = adopt(saved, out, known)
                if known is not None:
                    record["preparation_file_sha256"] = sha256_file(out / PREPARATION)
                shutil.rmtree(self.state, ignore_errors=True)

    def _known(self) -> dict[str, Any] | None:
        """What is to be kept of the volumes trained on; None where the store did not keep it, and of a first phase."""
        if self.verb != "train" or "volumes" not in self.store.manifest:
            return None
        from xmodbench.data.volumes.known import known_of  # brings the image libraries along

        known = known_of(self.store)
        if known is None:
            self.job.progress.say(
                f"{self.store.directory} was prepared by an earlier version: `apply` will not take the model"
            )
            return None
        return {**known, "source": self.source, "target": self.target}

    def _forget_other_code(self) -> None:
        """Empty a state that the method's code left before it was changed: both would have a part in the result."""
        note, code = self.state / CODE, self.job.location.code_hash
        if note.is_file() and note.read_text(encoding="utf-8") != code:
            self.job.progress.say("the method's code has changed since it was stopped: training begins anew")
            for path in self.state.iterdir():
                if path.name != OWNER:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        note.write_text(code, encoding="utf-8")

    def _first_phase(self, folder: Path) -> dict[str, Any]:
        """The record of what was pretrained: of this target, these data and this plan, and as it was saved."""
        first, fix = read_record(folder), remake(folder / RECORD, "pretrain it again")
        if first.get("verb") != "pretrain":
            raise UserError("no pretrained model", folder, "give the folder of a first phase")
        if (first.get("target"), first.get("source")) != (self.target, self.source):
            problem = f"was pretrained towards '{first.get('target')}', not '{self.target}'"
            raise UserError(problem, folder, "give the folder of a first phase towards this target")
        check_made(first, self.expect.get("pretrained"), folder, "pretrained")
        if (first.get("prepared") or {}).get("sha256") not in (None, self.store.preparation_sha256):
            raise UserError(f"pretrained on another preparation of the data than {self.store.directory}", folder, fix)
        check_model(folder, first)
        return first

    def _perform(self, task: str, record: dict[str, Any], saved: Path | None, held: tuple[int, ...] = ()) -> None:
        """Hand out the arrays, and let the method work on them; its process keeps the files `held` open."""
        store, given = self.store, self.pretrained and str(self.pretrained.resolve())
        self.state.mkdir(parents=True, exist_ok=True)
        read = (self.pretrained,) if self.pretrained else ()
        with PluginProcess(
            self.job,
            self.verb,
            read=read,
            write=(self.state,),
            truth=store.directory,
            available=len(store.ids),
            compiled=compiled(self.job),
            held=held,
        ) as process:
            method = process.described
            record.update(method.traced_settings())
            self._check(method)
            shape = method.shape
            rows = draw(method.wanted_slices, len(store.ids), self.job.seed)
            if rows is not None:
                self.job.progress.say(f"sees {len(rows)} of {len(store.ids)} slices of {self.source}")
                record.update(source_slices=len(rows), source_ids=[store.ids[row] for row in rows])
                rows = unpaired(rows, self.job.seed)
            done = process.perform(
                task,
                # what it learns from has its neighbours: the source, or the target where there is no source
                target=process.stage(store, self.target, neighbours=0 if self.source else shape.neighbours),
                source=process.stage(store, self.source, rows, shape.neighbours) if self.source else None,
                stacks=stacks(store) if shape.volumes else None,
                state=str(self.state.resolve()),
                pretrained=given,
                out=saved and str(saved.resolve()),
            )
            record.update(n_train=len(store.ids), threads=self.job.threads, **process.trace(done))
            used = self._used
            facts = {"shape": store.manifest["shape"], "n_subjects": len(set(store.subjects))}
            record.update(prepared=prepared(store), **facts)
            record["data_sha256"] = {name: store.manifest["arrays"][name]["sha256"] for name in used}
            add_facts(record, done["facts"])

    def _check(self, method: Described) -> None:
        """Raise UserError unless the method can be trained so."""
        verb = self.verb
        if method.model_plugin and not method.control:
            fix = f"train '{method.model_plugin}' and give its folder as --model when you translate"
            raise UserError("trains nothing itself", f"method '{self.job.name}'", fix)
        needs_source = Supervision(method.supervision).needs_source
        if needs_source != (self.source is not None):
            need = "needs the source modality" if needs_source else "must not be given a source"
            raise UserError(f"a {method.supervision} method {need}", verb)
        if self.source is not None:
            method.shape.check(self.source, f"method '{self.job.name}', {verb}")
        if not method.two_phase and (verb == "pretrain" or self.pretrained is not None):
            where = verb if verb == "pretrain" else "train --pretrained"
            raise UserError("this method is trained in one phase", where, "train it without a first phase")
        if method.two_phase and verb == "train" and self.pretrained is None and processes.world() > 1:
            problem = "the second phase of this method trains in one process"
            raise UserError(problem, verb, "pretrain with several processes, then train with one and --pretrained")


def adopt(saved: Path, out: Path, known: dict[str, Any] | None = None) -> str:
    """Put what a method saved in its place, once it is looked through; returns its hash.

    Args:
        known: of the volumes trained on, kept beside it.

    Raises:
        UserError: there are links, special files or pickles in it, or one that bears a name of the harness's.
    """
    check_saved(saved)
    if (saved / PREPARATION).exists():
        raise UserError("is the harness's own", f"model: {PREPARATION}", "save it under another name")
    with atomic_dir(out) as folder:
        shutil.copytree(saved, folder, dirs_exist_ok=True)
        if known is not None:
            write_json(folder / PREPARATION, known)
        return model_sha256(folder)

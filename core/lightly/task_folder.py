"""A task from the first staged file to its publication: staging, journal, commit. Nothing half-done is ever visible.

    .lightly/predictions/.TASK.FINGERPRINT.partial/journal      a line for each finished chunk
    .lightly/predictions/.TASK.FINGERPRINT.partial/task/...     the future task folder

The commit moves `task` into place in one step (an exchange, where it replaces a task) and then names it in
`tasks.json`. A run that is killed before leaves the old state; the next one with the same fingerprint continues from
the journal. The journal is locked while its process lives, which distinguishes a killed run from a running one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from labelferry.errors import LabelferryError, UsageError
from labelferry.lightly import storage
from labelferry.lightly.names import SCHEMA, TASKS, check_task_name
from labelferry.reading.text import read_bytes_without_bom

_COMMIT = b'{"commit":true}\n'


def origin_path(datasource: Path, name: str) -> Path:
    """The file that records how a task was made, outside of the folder that Lightly reads. `batch` writes it; any other
    conversion of the task removes it."""
    return datasource / ".lightly" / "labelferry" / f"{name}.json"


class TaskFolder:
    """Stages one task and commits it; a context manager that keeps the staged files if it ends with an exception.

    Args:
        datasource: the folder that holds, or is to hold, `.lightly`.
        name: the task's name.
        fingerprint: equal for two runs exactly if the second may continue where the first was killed.
        overwrite: replace a task of this name.

    Raises:
        UsageError: the task exists and must not be overwritten, or its name is not valid.
        LabelferryError: another run is writing this task.

    Attributes:
        finished: the journal of a killed run: what was noted for a chunk, by its digest.
        files: folder of the staged files.
    """

    def __init__(self, datasource: Path, name: str, fingerprint: str, overwrite: bool = False) -> None:
        check_task_name(name)
        self.name = name
        self.finished: dict[str, Any] = {}
        self._salvage: list[Path] = []  # folders of files that killed runs have written, the newest first
        self._datasource = datasource
        self._predictions = datasource / ".lightly" / "predictions"
        self._place = self._predictions / name
        self._staging = self._place.with_name(f".{self._place.name}.{fingerprint}.partial")
        self.files = self._staging / "task"
        tasks = self._tasks()
        for other in tasks:
            if other.startswith(name + "/") or name.startswith(other + "/"):
                raise UsageError(f"the task {name!r} and the existing task {other!r} would be nested")
        self._made = [path for path in (self._staging, *self._staging.parents) if not path.exists()]
        try:
            self._staging.mkdir(parents=True, exist_ok=True)
            self._journal = os.open(self._staging / "journal", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise UsageError(f"cannot write to the datasource: {error}") from None
        try:
            self._lock()
            own = self._recover(name in tasks)
            if (self._place.exists() or name in tasks) and not overwrite and not own:
                self._remove_staging()
                raise UsageError(
                    f"the task {name!r} exists in {self._predictions}; replace it with --overwrite (in Python: "
                    "overwrite=True), or give another name"
                )
        except BaseException:
            os.close(self._journal)
            raise

    def __enter__(self) -> TaskFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._journal)

    def restore(self, files: Iterable[tuple[str, int]]) -> bool:
        """Take over files that a killed run has written, if all of them (path and size) are there as it wrote them."""
        found: list[tuple[Path, Path]] = []
        for path, size in files:
            for folder in self._salvage:
                try:
                    status = os.lstat(folder / path)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode) and status.st_size == size:
                    found.append((folder / path, self.files / path))
                    break
            else:
                return False
        for old, new in found:
            new.parent.mkdir(parents=True, exist_ok=True)
            os.rename(old, new)
        return True

    def note(self, chunk: str, result: Any) -> None:
        """Write to the journal that a chunk's files are complete."""
        os.write(self._journal, orjson.dumps({"chunk": chunk, "result": result}) + b"\n")

    def commit(self, schema: bytes) -> None:
        """Publish the task: `schema.json`, the folder, `tasks.json`, in this order."""
        storage.write_new(str(self.files / SCHEMA), schema)
        origin_path(self._datasource, self.name).unlink(missing_ok=True)
        os.write(self._journal, _COMMIT)
        if self._place.exists():
            storage.exchange_folders(self.files, self._place)
        else:
            os.rename(self.files, self._place)
        with storage.locked_folder(self._predictions):
            tasks = self._tasks()
            if self.name not in tasks:
                content = orjson.dumps([*tasks, self.name])
                storage.replace_file(self._predictions / TASKS, content, self._staging / TASKS)
        storage.remove_folder(self._staging)

    def discard(self) -> None:
        """Remove all traces of this run."""
        self._remove_staging()

    def _lock(self) -> None:
        """Make sure that no other run writes this task, and clean up after killed runs of other input or options."""
        busy = LabelferryError(f"another run is writing the task {self.name!r} in {self._datasource}")
        if not storage.try_lock(self._journal):
            raise busy
        of_this_task = re.compile(rf"\.{re.escape(self._place.name)}\.[0-9a-f]{{16}}\.partial")
        for other in self._staging.parent.iterdir():
            if other == self._staging or not of_this_task.fullmatch(other.name):
                continue
            try:
                file = os.open(other / "journal", os.O_RDWR)
            except FileNotFoundError:
                storage.remove_folder(other)
                continue
            try:
                if not storage.try_lock(file):
                    raise busy
                storage.remove_folder(other)
            finally:
                os.close(file)

    def _recover(self, listed: bool) -> bool:
        """Read the journal of a killed run; True if that run had published the task, but not cleaned up."""
        journal = (self._staging / "journal").read_bytes()
        if _COMMIT not in journal:
            for line in journal.splitlines():
                try:
                    entry = orjson.loads(line)
                except orjson.JSONDecodeError:  # the line that was being written when the run was killed
                    os.write(self._journal, b"\n")
                    break
                self.finished[entry["chunk"]] = entry["result"]
            # no file is ever written into a folder that this run has not made
            self._salvage = sorted(self._staging.glob("salvage-*"), reverse=True)
            if self.files.exists():
                salvage = self._staging / f"salvage-{len(self._salvage):06}"
                os.rename(self.files, salvage)
                self._salvage.insert(0, salvage)
            return False
        moved = not self.files.exists()
        if moved and not listed:  # killed between moving the folder and writing tasks.json: undo the move
            os.rename(self._place, self.files)
            os.ftruncate(self._journal, journal.index(_COMMIT))
            return self._recover(listed)
        # killed while the folders were exchanged or the old one was removed: `files` may be the old or the new one
        storage.remove_folder(self.files)
        os.ftruncate(self._journal, 0)
        return moved

    def _remove_staging(self) -> None:
        storage.remove_folder(self._staging)
        for path in self._made[1:]:
            try:
                path.rmdir()
            except OSError:
                break

    def _tasks(self) -> list[str]:
        path = self._predictions / TASKS
        try:
            tasks = orjson.loads(read_bytes_without_bom(path)) if path.exists() else []
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{path} is not JSON ({error}); fix or remove it first") from None
        if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
            raise UsageError(f"{path} is not a list of task names; fix or remove it first")
        return tasks

"""What is shown while a command runs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from labelferry.cli.report import fail

if TYPE_CHECKING:
    from typing_extensions import Self


class ProgressDisplay:
    """What is shown while a command runs; Ctrl-C ends it with a word on how to go on."""

    _bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            fail("interrupted; run the same command again to go on from here", 130)


class ConvertProgress(ProgressDisplay):
    """A bar on a terminal, a line now and then elsewhere, nothing if quiet; all on stderr."""

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, quiet: bool) -> None:
        self._printed = time.monotonic()
        self._quiet = quiet
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[what]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._row = self._bar.add_task("reading", total=None, what="")
            self._bar.start()

    def __call__(self, done: int, total: int | None, what: str) -> None:
        if self._bar is not None:
            doing = "counting frames" if what == "videos" else "converting"
            self._bar.update(self._row, description=doing, completed=done, total=total, what=what)
        elif not self._quiet and time.monotonic() - self._printed > self.SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(f"{done:,}{'' if total is None else f' of {total:,}'} {what}", file=sys.stderr, flush=True)


class BatchProgress(ProgressDisplay):
    """A line for each job: a bar on a terminal, a line when it has ended elsewhere, nothing if quiet; all on stderr."""

    def __init__(self, quiet: bool, names: list[str]) -> None:
        self._rows: dict[str, Any] = {}
        self._quiet = quiet
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[what]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._rows = {name: self._bar.add_task(name, total=None, start=False, what="waiting") for name in names}
            self._bar.start()

    def __call__(self, name: str, done: int, total: int | None, what: str) -> None:
        if name in self._rows:
            self._bar.start_task(self._rows[name])
            self._bar.update(self._rows[name], completed=done, total=total, what=what)

    def finished(self, outcome: Any) -> None:
        if outcome.task_name in self._rows:
            self._bar.update(self._rows[outcome.task_name], total=1, completed=1, what=outcome.status)
        elif not self._quiet and self._bar is None:
            print(f"{outcome.status}: {outcome.task_name}", file=sys.stderr, flush=True)

"""What stderr shows while a command runs: bars on a terminal, elsewhere a line now and then, nothing if quiet."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from labelferry.cli.report import print_error

if TYPE_CHECKING:
    from typing_extensions import Self

    from labelferry.run.batch import Outcome

SECONDS_BETWEEN_LINES = 10.0
"""Pause between two lines, where there is no terminal."""


class ProgressDisplay:
    """Shows the progress of what is done in a `with` block; Ctrl-C in it ends the program.

    Args:
        quiet: show nothing.
        transient: remove the bars at the end of the block.
    """

    def __init__(self, quiet: bool, transient: bool) -> None:
        self._lines = not quiet and not sys.stderr.isatty()
        self._bars: Any = None
        if not quiet and not self._lines:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[what]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=transient,
            )
            self._bars.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            print_error("interrupted; run the same command again to continue")
            raise SystemExit(130)


class ConvertProgress(ProgressDisplay):
    """The progress of one conversion: called as `labelferry.run.convert.Progress`."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet, transient=True)
        self._printed = time.monotonic()
        if self._bars is not None:
            self._row = self._bars.add_task("reading", total=None, what="")

    def __call__(self, done: int, total: int | None, what: str) -> None:
        if self._bars is not None:
            doing = "counting frames" if what == "videos" else "converting"
            self._bars.update(self._row, description=doing, completed=done, total=total, what=what)
        elif self._lines and time.monotonic() - self._printed > SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(f"{done:,}{'' if total is None else f' of {total:,}'} {what}", file=sys.stderr, flush=True)


class BatchProgress(ProgressDisplay):
    """The progress of each job of a batch: called as `labelferry.run.batch.JobProgress`."""

    def __init__(self, quiet: bool, names: list[str]) -> None:
        super().__init__(quiet, transient=False)
        self._rows: dict[str, Any] = {}
        if self._bars is not None:
            self._rows = {name: self._bars.add_task(name, total=None, start=False, what="waiting") for name in names}

    def __call__(self, name: str, done: int, total: int | None, what: str) -> None:
        if self._bars is not None:
            self._bars.start_task(self._rows[name])
            self._bars.update(self._rows[name], completed=done, total=total, what=what)

    def finished(self, outcome: Outcome) -> None:
        """Show how a job has ended."""
        if self._bars is not None:
            self._bars.update(self._rows[outcome.task_name], total=1, completed=1, what=outcome.status)
        elif self._lines:
            print(f"{outcome.status}: {outcome.task_name}", file=sys.stderr, flush=True)

"""What stderr shows while a conversion runs: bars on a terminal or in a notebook, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from labelferry.run.batch import Outcome

SECONDS_BETWEEN_LINES = 10.0
"""Pause between two lines, where there is no terminal."""


class ProgressDisplay:
    """Shows the progress of what is done in a `with` block, and removes the bars at its end.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        is_notebook = "ipykernel" in sys.modules
        self._lines = not quiet and not is_notebook and not sys.stderr.isatty()
        self._bars: Any = None
        self._printed = time.monotonic()
        if not quiet and not self._lines:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[what]}", markup=False),
                TimeRemainingColumn(),
                console=Console() if is_notebook else Console(stderr=True),
                transient=True,
            )
            self._bars.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _row(self, description: str) -> Any:
        return None if self._bars is None else self._bars.add_task(description, total=None, what="")

    def _show(self, row: Any, description: str, done: int, total: int | None, what: str) -> None:
        if self._bars is not None:
            self._bars.update(row, description=description, completed=done, total=total, what=what)

    def _line(self, text: str, now: bool = False) -> None:
        """Print a line, unless the last one was printed a moment ago."""
        if self._lines and (now or time.monotonic() - self._printed > SECONDS_BETWEEN_LINES):
            self._printed = time.monotonic()
            print(text, file=sys.stderr, flush=True)


class ConvertProgress(ProgressDisplay):
    """The progress of one conversion: called as `labelferry.run.convert.Progress`."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(quiet)
        self._only = self._row("reading")

    def __call__(self, done: int, total: int | None, what: str) -> None:
        self._show(self._only, "counting frames" if what == "videos" else "converting", done, total, what)
        self._line(f"{done:,}{'' if total is None else f' of {total:,}'} {what}")


class BatchProgress(ProgressDisplay):
    """The progress of a batch, and of its job that runs: called as `labelferry.run.batch.JobProgress`."""

    def __init__(self, quiet: bool, jobs: int) -> None:
        super().__init__(quiet)
        self._jobs = jobs
        self._ended = self._failed = 0
        self._all, self._current = self._row("all jobs"), self._row("")
        self._show_all()

    def __call__(self, name: str, done: int, total: int | None, what: str) -> None:
        self._show(self._current, name, done, total, what)
        self._line(f"{name}: {done:,}{'' if total is None else f' of {total:,}'} {what}")

    def finished(self, outcome: Outcome) -> None:
        """Show that a job has ended."""
        self._ended += 1
        self._failed += outcome.status == "failed"
        self._show_all()
        self._line(f"{outcome.status}: {outcome.task_name}", now=True)

    def _show_all(self) -> None:
        failed = f"jobs, {self._failed} failed" if self._failed else "jobs"
        self._show(self._all, "all jobs", self._ended, self._jobs, failed)

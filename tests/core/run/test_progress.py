"""What is shown while a command runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from labelferry.run import progress
from labelferry.run.batch import Outcome
from labelferry.run.progress import BatchProgress, ConvertProgress
from tests.core.conftest import Run, Terminal
from tests.core.run.test_kill import write_coco

OpenTerminal = Callable[[], Terminal]


def shown(terminal: Terminal) -> str:
    """What has been written to a terminal, without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (None, "reading "),
        ((10, 40, "videos"), r"counting frames .* 10/40 +videos"),
        ((7, None, "images"), r"converting .* 7/\? +images"),
        ((1000, 4000, "images"), r"converting .* 1000/4000 +images"),
    ],
)
def test_a_terminal_shows_a_bar_that_goes_away(
    open_terminal: OpenTerminal, progress: tuple[int, int | None, str] | None, expected: str
) -> None:
    terminal = open_terminal()
    with ConvertProgress(quiet=False) as display:
        if progress is not None:
            display(*progress)
    assert re.search(expected, shown(terminal))
    assert terminal.getvalue().endswith("\x1b[2K"), "the line is not erased"


def test_a_terminal_shows_a_bar_of_all_jobs_and_one_of_the_job_that_runs(open_terminal: OpenTerminal) -> None:
    """Two rows for any number of jobs: more than a screen of rows would flicker."""
    terminal = open_terminal()
    with BatchProgress(quiet=False, jobs=50) as display:
        display.finished(Outcome("one", "done"))
        display.finished(Outcome("two [x]", "failed", "an error"))
        display("three", 5, 10, "images")
    last = shown(terminal)[-3 * 101 :]
    for expected in ("all jobs .* 2/50 +jobs, 1 failed", "three .* 5/10 +images"):
        assert re.search(expected, last)
    assert "one " not in last


def test_elsewhere_a_line_appears_now_and_then(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    command = ("convert", "--from", "coco", source, tmp_path / "out", "--overwrite")
    assert run(*command).stderr == ""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    assert run(*command).stderr == "3 of 3 images\n"
    assert run(*command, "--quiet").stderr == ""
    ConvertProgress(quiet=False)(2_000, None, "frames")
    assert capsys.readouterr().err == "2,000 frames\n"


def test_elsewhere_a_line_appears_when_a_job_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet, expected in ((False, "unchanged: one\n"), (True, "")):
        with BatchProgress(quiet, 1) as display:
            display("one", 1, 2, "images")
            display.finished(Outcome("one", "unchanged"))
        assert capsys.readouterr() == ("", expected)


def test_quiet_shows_nothing_on_a_terminal_either(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()
    with ConvertProgress(quiet=True) as display:
        display(1, 2, "images")
    assert terminal.getvalue() == ""


def test_other_exceptions_pass() -> None:
    with pytest.raises(ZeroDivisionError), ConvertProgress(quiet=True):
        raise ZeroDivisionError

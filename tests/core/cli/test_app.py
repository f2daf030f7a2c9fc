"""The program as a whole: help, version, exit codes, and what ends it early."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import labelferry
from labelferry.cli.app import main
from tests.core.conftest import Run


def test_python_m_labelferry_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "labelferry", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"labelferry {labelferry.__version__}\n"


def test_the_help_lists_the_commands(run: Run) -> None:
    for arguments in ((), ("--help",)):
        listed = run(*arguments).stdout
        assert [name for name in ("convert", "batch", "detect", "formats") if f"│ {name} " in listed] == [
            "convert",
            "batch",
            "detect",
            "formats",
        ]
    assert run("--help").returncode == 0


@pytest.mark.parametrize("command", ["convert", "batch", "detect"])
def test_a_command_without_arguments_shows_its_help(run: Run, command: str) -> None:
    assert f"Usage: labelferry {command}" in run(command).stdout


@pytest.mark.parametrize("command", ["", "convert", "convert --from yolo", "batch", "detect", "formats"])
def test_no_help_text_is_cut_off_at_80_columns(run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run(*command.split(), "--help").stdout
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"labelferry {labelferry.__version__}\n", "")


def test_an_unknown_command_exits_with_2(run: Run) -> None:
    done = run("no-such-command")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-command" in done.stderr


def test_the_help_imports_neither_numpy_nor_msgspec() -> None:
    code = """
import sys
sys.argv = ["labelferry", "convert", "--help"]
from labelferry.cli.app import main
try:
    main()
except SystemExit:
    pass
assert not {"numpy", "msgspec", "labelferry.run.convert"} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="needs pipes of POSIX")
def test_output_that_nobody_reads_ends_the_program_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        monkeypatch.setattr(sys, "argv", ["labelferry", "formats"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1


@pytest.mark.skipif(os.name != "posix", reason="needs pipes of POSIX")
def test_no_message_appears_when_the_reader_of_the_output_has_ended() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "labelferry", "formats"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labelferry.plugin.detect.detect", interrupt)
    assert run("detect", tmp_path).returncode == 130

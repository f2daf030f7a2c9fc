"""labelferry formats."""

from __future__ import annotations

import pytest

from labelferry.errors import UsageError
from labelferry.plugin import registry
from tests.core.conftest import Run


def test_formats_lists_every_format(run: Run) -> None:
    listed = run("formats")
    assert (listed.returncode, listed.stderr) == (0, "")
    for name in registry.format_names():
        assert f"\n{name} " in f"\n{listed.stdout}"
    assert "labelformat:kitti" in listed.stdout


def test_a_format_that_cannot_be_imported_does_not_prevent_the_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    get_adapter = registry.get_adapter

    def broken(name: str) -> object:
        if name == "coco":
            raise UsageError("the adapter of 'coco' cannot be imported")
        return get_adapter(name)

    monkeypatch.setattr(registry, "get_adapter", broken)
    listed = run("formats")
    assert listed.returncode == 0
    assert "coco         the adapter of 'coco' cannot be imported\n" in listed.stdout
    assert "\nyolo " in listed.stdout


def test_formats_describes_a_format_and_its_options(run: Run) -> None:
    described = run("formats", "yolo").stdout
    assert "https://docs.ultralytics.com" in described
    assert "Tasks: keypoint-detection, instance-segmentation, object-detection" in described
    assert "  --vid-stride\n      Ultralytics' vid_stride" in described
    assert "[default: 1]" in described
    assert "[required]" in run("formats", "labelformat:maskpair").stdout


def test_an_unknown_format_exits_with_2(run: Run) -> None:
    done = run("formats", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no format 'nothing'" in done.stderr


def test_lines_fit_a_terminal_of_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ((), ("csv",)):
        assert [line for line in run("formats", *arguments).stdout.splitlines() if len(line) > 80] == []

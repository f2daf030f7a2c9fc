"""What tests of every format check of an export: accounting, the files that labels depend on, and that images read
together give what they give one by one."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import labelferry
from labelferry.columns import Batch
from labelferry.findings import Finding
from labelferry.lightly.categories import plan_categories
from labelferry.lightly.conform import Target
from labelferry.lightly.write import in_order, prepare
from labelferry.model import Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.report import Report


class Outcome(NamedTuple):
    """The prediction files of images, all findings in order, how many objects were found, and the evidence."""

    files: list[bytes | None]
    findings: list[Finding]
    found: int
    evidence: Counter[str]


def images_of(export: Export) -> list[Image]:
    return [one for one in export.images() if not isinstance(one, Finding)]


def outcome(export: Export, batches: Iterable[Batch]) -> Outcome:
    target = Target(export.task, plan_categories(export.categories, None), 0.25, export.has_sizes)
    files: list[bytes | None] = []
    findings: list[Finding] = []
    evidence: Counter[str] = Counter()
    found = 0
    for batch in batches:
        prepared = prepare(batch, target)
        findings += [replace(one, image=len(files) + one.image) for one in prepared.findings]
        files += prepared.files
        found += prepared.found
        evidence += batch.evidence
    return Outcome(files, in_order(findings), found, evidence)


def together(export: Export, images: list[Image]) -> Outcome:
    return outcome(export, export.read(images, export.payload(images)))


def one_by_one(export: Export, images: list[Image]) -> Outcome:
    return outcome(export, Export.read(export, images, None))


def assert_accounted(report: Report, found: int) -> None:
    """Every object that the export lists is written, part of another one, or lost under a finding."""
    assert report.found_objects == found
    written = sum(report.objects.values()) + report.merged_objects
    assert report.found_objects + report.interpolated_objects == written + report.lost_objects


def assert_opens_alike(adapter: Adapter, request: Request) -> None:
    """An adapter may be opened again, and its export listed again; the results are the same, findings and all."""
    before = vars(adapter).copy()
    exports = [adapter.open(request), adapter.open(request)]
    listings = [list(export.images()) for export in (*exports, exports[0])]
    assert listings[0] == listings[1] == listings[2]
    outcomes = [together(export, images_of(export)) for export in (*exports, exports[0])]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert exports[0].categories == exports[1].categories
    assert vars(adapter) == before


_opened: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str | bytes | os.PathLike):
        _opened.append(os.path.abspath(os.fsdecode(arguments[0])))


sys.addaudithook(_hook)


def opened_below(folder: Path, function: Callable[[], object]) -> set[str]:
    """Paths of the files below a folder that are opened while a function runs."""
    global _opened
    _opened = []
    try:
        function()
        return {path for path in _opened if path.startswith(f"{folder}{os.sep}")}
    finally:
        _opened = None


def assert_files_are_named(export: Export, folder: Path) -> None:
    """Labels are read from no other file than `Image.files` and `Export.files` name."""
    for image in images_of(export):
        named = {os.path.abspath(path) for path in (*image.files, *export.files)}
        opened = opened_below(folder, lambda image=image: together(export, [image]))  # type: ignore[misc]
        opened |= opened_below(folder, lambda image=image: one_by_one(export, [image]))  # type: ignore[misc]
        assert opened <= named, image.file_name


def assert_changes_are_noticed(
    source: Path, out: Path, options: dict[str, Any], make: Callable[[], Export], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption, images of which a file has changed are read again, and only these."""
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)
    monkeypatch.setattr("labelferry.plugin.export.BOXES", 1)
    monkeypatch.setattr("labelferry.plugin.export.MASKS", 1)
    images = images_of(make())
    files = {path for image in images for path in image.files} | set(make().files)

    def interrupt(done: int, total: int | None, unit: str) -> None:
        if done == len(images):
            raise KeyboardInterrupt

    for number, path in enumerate(["", *sorted(files)]):
        with pytest.raises(KeyboardInterrupt):
            labelferry.convert(source, out / str(number), progress=interrupt, **options)
        if path:
            os.utime(path, (number, number))
        report = labelferry.convert(source, out / str(number), **options)
        unchanged = sum(path not in image.files for image in images)
        assert report.resumed_images == (0 if path in make().files else unchanged), path

"""What tests ask of every opened export: what it gives, and which files that comes from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelferry
from labelferry.columns import Batch
from labelferry.model import Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export


def listed(export: Export) -> list[Image]:
    """The images of an export."""
    return [one for one in export.images() if isinstance(one, Image)]


def content(export: Export) -> list[Any]:
    """All that an export gives, as plain values that can be compared."""
    return [
        (export.tasks, export.task, export.source_task, export.categories, export.files, export.has_sizes),
        export.first_frame,
        [repr(one) for one in export.images()],
        values(export, listed(export)),
    ]


def values(export: Export, images: list[Image]) -> list[Any]:
    """The labels of these images as plain values."""
    return [_values(batch) for batch in export.read(images, export.payload(images))]


def _values(batch: Batch) -> list[Any]:
    values: list[Any] = [batch.names, batch.findings, None if batch.locate is None else len(batch)]
    columns = (batch.sizes, batch.bounds, batch.category_ids, batch.boxes, batch.scores, batch.probabilities)
    values += [None if column is None else np.asarray(column).tolist() for column in columns]
    values += [batch.refused.tolist(), batch.found.tolist(), batch.interpolated.tolist()]
    if batch.masks is not None:
        values += [batch.masks.counts.tolist(), batch.masks.offsets.tolist(), batch.masks.sizes.tolist()]
    if batch.keypoints is not None:
        values += [batch.keypoints.points.tolist(), batch.keypoints.offsets.tolist()]
    values += [batch.locate(row) for row in batch.rows.tolist()] if batch.locate is not None else []
    return values


def named_files(export: Export) -> set[str]:
    """The files that an export says that its labels come from."""
    return {os.path.realpath(path) for path in (*export.files, *(path for one in listed(export) for path in one.files))}


_opened: list[set[str]] = []
_is_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        for paths in _opened:
            paths.add(os.path.realpath(os.fsdecode(arguments[0])))


@contextmanager
def files_opened(below: Path) -> Iterator[set[str]]:
    """The files below a folder that are opened meanwhile."""
    global _is_hooked
    if not _is_hooked:  # a hook cannot be removed
        sys.addaudithook(_hook)
        _is_hooked = True
    paths: set[str] = set()
    _opened.append(paths)
    try:
        yield paths
    finally:
        _opened.remove(paths)
        folder = os.path.realpath(below)
        paths.intersection_update({path for path in paths if path.startswith(f"{folder}/")})


def resumed_images(
    adapter: Adapter, datasource: Path, changed: str | None, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> int:
    """How many images a run takes over from one that was interrupted after its first chunk.

    Args:
        adapter: of an export without errors.
        datasource: an empty or missing folder.
        changed: a file whose time changes between the two runs.
        monkeypatch: of the test.
        options: of the conversion.
    """
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)

    def interrupt(done: int, total: int | None, unit: str) -> None:
        if unit != "videos":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labelferry.convert(adapter, datasource, task_name="test", progress=interrupt, **options)
    if changed is not None:
        status = os.stat(changed)
        os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
    return labelferry.convert(adapter, datasource, task_name="test", **options).resumed_images


def check_accounting(report: labelferry.Report) -> None:
    """Every object of the export is written, part of another one, or lost under a finding."""
    written = sum(report.objects.values())
    assert report.found_objects + report.interpolated_objects == written + report.merged_objects + report.lost_objects

"""Writing one image into a new task, judged by Lightly's models."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import labelferry
from tests.exports import check_accounting
from tests.lightly_models import read_valid_task


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes one image `a.png` into a new task, and gives back its predictions once Lightly's models have passed them.

    The report is left in `write.report`, the warnings that were shown in `write.shown`, the schema in `write.schema`.
    """

    def run(
        task: str,
        categories: Any,
        *predictions: Any,
        options: dict[str, Any] | None = None,
        file_name: Any = "a.png",
        **columns: Any,
    ) -> Any:
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            with labelferry.open_task(tmp_path, "t", task, categories, overwrite=True, **options or {}) as writer:
                writer.write(file_name, *predictions, **columns)
        run.shown = [str(one.message) for one in shown]  # type: ignore[attr-defined]
        assert all(text.startswith("task 't'") for text in run.shown)  # type: ignore[attr-defined]
        run.report = report = writer.report  # type: ignore[attr-defined]
        check_accounting(report)
        run.schema, found = read_valid_task(tmp_path, "t")  # type: ignore[attr-defined]
        return found.get(file_name)

    return run

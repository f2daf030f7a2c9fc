"""What tests share: fixtures' folders, real data where there is some, and a judge of every datasource made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import labelferry
from tests.exports import check_accounting
from tests.lightly_models import read_valid_task

settings.register_profile("labelferry", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("labelferry")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of the small exports that fixtures/make.py made."""
    return ROOT / "fixtures"


@pytest.fixture
def copied(fixtures: Path, tmp_path: Path) -> Path:
    """A copy of the folder of fixtures, which a test may change."""
    shutil.copytree(fixtures, tmp_path / "fixtures")
    return tmp_path / "fixtures"


@pytest.fixture(scope="session")
def real_coco() -> Path:
    """A folder with real COCO annotations; tests that want them are skipped elsewhere."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "coco_mini_instances.json").exists():
        pytest.skip("no real COCO annotations beside the repository")
    return folder


Convert = Callable[..., dict[str, list[dict[str, Any]]]]


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Converts an export and gives back {file_name: predictions} of the task, once Lightly's models have passed it.

    Called as `labelferry.convert`, without the datasource. The report is left in `convert.report`, the schema in
    `convert.schema`.
    """

    def run(source: Any, **options: Any) -> dict[str, list[dict[str, Any]]]:
        report = labelferry.convert(source, tmp_path / "datasource", overwrite=True, **options)
        schema, predictions = read_valid_task(tmp_path / "datasource", report.task_name)
        assert schema["task_type"] == report.task_type
        assert len(predictions) == report.images
        assert sum(map(len, predictions.values())) == sum(report.objects.values())
        check_accounting(report)
        run.report, run.schema = report, schema  # type: ignore[attr-defined]
        return predictions

    return run


@pytest.fixture
def fails(tmp_path: Path) -> Callable[..., dict[str, list[tuple[str, str]]]]:
    """Converts an export that has errors, sees that nothing is published, and gives back the errors' examples by code.

    Called as `labelferry.convert`, without the datasource.
    """

    def run(source: Any, **options: Any) -> dict[str, list[tuple[str, str]]]:
        datasource = tmp_path / "datasource"
        try:
            labelferry.convert(source, datasource, **options)
        except labelferry.ConversionError as error:
            found = {finding.code: finding.examples for finding in error.report.errors}
            json.dumps(error.report.to_dict())
            check_accounting(error.report)
        except labelferry.ExportError as error:
            found = {error.code: [(error.where, error.message)]}
        else:
            pytest.fail("the export was converted")
        assert not datasource.exists(), "something was left behind"
        return found

    return run

"""labelferry batch: its options, table and exit codes; what it converts is tested beside `labelferry.run.batch`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from labelferry.run import batch
from labelferry.run.plan import plan_schema
from tests.core.conftest import Run
from tests.core.run.test_batch import coco
from tests.core.run.test_kill import write_coco


@pytest.fixture
def exports(fixtures: Path, tmp_path: Path) -> Path:
    """A folder with an export that can be converted, one with errors, and one whose format is unclear."""
    coco(tmp_path / "exports/bad.json", annotations=[{"id": 1, "image_id": 9, "category_id": 2, "bbox": [1, 1, 1, 1]}])
    write_coco(tmp_path / "exports/good.json", 3)
    shutil.copytree(fixtures / "yolo/obb", tmp_path / "exports/unclear")
    return tmp_path / "exports"


def test_a_table_shows_every_job_and_failures_exit_with_1(run: Run, exports: Path, tmp_path: Path) -> None:
    done = run("batch", exports, tmp_path / "out", "--workers", 1, "--report", tmp_path / "report.json")
    assert done.returncode == 1
    header, bad, good = done.stdout.splitlines()
    assert header == "status task images objects repairs warnings errors seconds"
    assert bad.split()[:7] == ["failed", "bad", "1", "0", "0", "0", "1"]
    assert good.split()[:7] == ["done", "good", "3", "3", "0", "0", "0"]
    assert {len(line) for line in (header, bad, good)} == {len(header)}
    lines = done.stderr.splitlines()
    assert lines[0] == f"{exports / 'unclear'}: not converted; say in a plan (--init) which of these is meant"
    assert lines[-3:-1] == ["failed: bad", "done: good"]
    assert lines[-1].startswith("labelferry: bad: 1 error(s), nothing was published; the first: ")
    written = json.loads((tmp_path / "report.json").read_text())
    assert [(one["task_name"], one["status"]) for one in written] == [("bad", "failed"), ("good", "done")]
    assert written[1]["report"]["images"] == 3


def test_a_second_run_has_nothing_to_do(run: Run, exports: Path, tmp_path: Path) -> None:
    (exports / "bad.json").unlink()
    shutil.rmtree(exports / "unclear")
    assert run("batch", exports, tmp_path / "out", "--workers", 1).returncode == 0
    done = run("batch", exports, tmp_path / "out", "--workers", 1)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1] == "unchanged good"
    planned = run("batch", exports, tmp_path / "out", "--dry-run")
    assert planned.stdout.split() == ["unchanged", "good", "coco", str(exports / "good.json")]


def test_quiet_prints_errors_only(run: Run, exports: Path, tmp_path: Path) -> None:
    shutil.rmtree(exports / "unclear")
    done = run("batch", exports, tmp_path / "out", "--workers", 1, "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("labelferry: bad: 1 error(s)")
    assert len(done.stderr.splitlines()) == 1


def test_a_dry_run_prints_the_jobs_and_writes_nothing(run: Run, exports: Path, tmp_path: Path) -> None:
    done = run("batch", exports, tmp_path / "out", "--dry-run")
    assert done.returncode == 0
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["convert", "bad", "coco"],
        ["convert", "good", "coco"],
    ]
    assert not (tmp_path / "out").exists()


def test_a_plan_is_printed_edited_and_run(run: Run, exports: Path, tmp_path: Path) -> None:
    text = run("batch", "--init", exports).stdout
    assert f"# {exports / 'unclear'}: say in a plan (--init) which of these is meant\n" in text
    assert "--obb" in text
    content = yaml.safe_load(text)
    assert content["jobs"][1] == {"source": str(exports / "good.json"), "format": "coco", "task_name": "good"}
    plan = tmp_path / "jobs.yaml"
    plan.write_text(yaml.safe_dump({"jobs": content["jobs"][1:], "datasource": "out"}))
    assert run("batch", plan, "--workers", 1).returncode == 0
    assert (tmp_path / "out/.lightly/predictions/good").is_dir()


def test_a_plan_is_written_with_paths_relative_to_it(
    run: Run, fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(fixtures / "masks/index", tmp_path / "exports/index")
    write_coco(tmp_path / "exports/good.json", 3)
    (tmp_path / "plans").mkdir()
    monkeypatch.chdir(tmp_path)
    plan = tmp_path / "plans/jobs.yaml"
    assert run("batch", "--init", "exports", "--out", "plans/jobs.yaml") == (0, "", "")
    jobs = yaml.safe_load(plan.read_text())["jobs"]
    assert {job["source"] for job in jobs} >= {"../exports/good.json"}
    assert all("../exports/" in str(job) for job in jobs)
    monkeypatch.chdir(tmp_path / "exports")
    done = run("batch", "../plans/jobs.yaml", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert run("batch", "exports", "--out", "x.yaml").stderr == "labelferry: --out is where --init writes the plan\n"


def test_only_what_is_unclear_exits_with_1(run: Run, exports: Path, tmp_path: Path) -> None:
    done = run("batch", exports / "unclear", tmp_path / "out", "--workers", 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not converted" in done.stderr


def test_the_schema_is_printed(run: Run) -> None:
    assert json.loads(run("batch", "--schema").stdout) == plan_schema()


def test_a_wrong_command_exits_with_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    coco(tmp_path / "some/a.json")
    for arguments, message in (
        (("--quiet",), "name a folder of exports, or a plan"),
        ((tmp_path / "nothing", "out"), "does not exist"),
        ((tmp_path / "empty", tmp_path / "out"), "no format recognises an export"),
        ((tmp_path / "some",), "name the datasource"),
        ((tmp_path / "some", tmp_path / "out", "--workers", "0"), "--workers"),
    ):
        done = run("batch", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr


def test_ctrl_c_exits_with_130(run: Run, exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "convert", interrupt)
    done = run("batch", exports, tmp_path / "out", "--workers", 1, "--quiet")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.endswith(
        "labelferry: interrupted; jobs that have ended are published; run the same command again to continue\n"
    )

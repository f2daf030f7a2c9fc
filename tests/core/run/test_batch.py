"""batch: plans read and detected, one run over all, what fails alone, what is done again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import labelferry
from labelferry.plugin.merge import Merged
from labelferry.plugin.registry import get_adapter
from labelferry.run.batch import Outcome
from labelferry.run.options import Options
from labelferry.run.plan import Job, Plan, plan_folder, plan_to_yaml
from labelferry.testing import check_adapter
from tests.conftest import ROOT
from tests.lightly_models import read_valid_task

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}],
}


def coco(path: Path, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(COCO | changes))
    return path


@pytest.fixture
def exports(fixtures: Path, tmp_path: Path) -> Path:
    """A folder with exports of five formats, one of which cannot be told by looking."""
    folder = tmp_path / "exports"
    coco(folder / "coco/annotations/val.json")
    (folder / "coco/images").mkdir()
    for name in ("yolo/segmentation", "yolo/obb", "voc/flat", "mot/train"):
        shutil.copytree(fixtures / name, folder / "more" / name.replace("/", "-"))
    (folder / "readme.txt").write_text("nothing to convert\n")
    return folder


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labelferry", "batch", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def tasks(datasource: Path) -> list[str]:
    content: list[str] = json.loads((datasource / ".lightly/predictions/tasks.json").read_text())
    return content


def test_a_folder_of_exports(exports: Path, tmp_path: Path) -> None:
    plan = plan_folder(exports)
    names = ["coco_annotations_val", "more_mot-train", "more_voc-flat", "more_yolo-segmentation"]
    assert [job.name for job in plan.jobs] == names
    assert [(place.name, "--obb" in text) for place, text in plan.unclear] == [("yolo-obb", True)]
    done = run(exports, tmp_path / "out", "--report", tmp_path / "report.json")
    assert done.returncode == 1, done.stderr  # for what could not be told
    assert "yolo-obb: not converted" in done.stderr
    assert tasks(tmp_path / "out") == names
    for name in names:
        read_valid_task(tmp_path / "out", name)
    table = done.stdout.splitlines()
    assert len(table) == 1 + len(names)
    assert all(line.startswith("done") for line in table[1:])
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(one["task_name"], one["status"]) for one in report] == [(name, "done") for name in names]
    assert report[0]["report"]["objects"] == {"car": 0, "bus": 1}


def test_a_rerun_does_what_is_missing_or_changed(exports: Path, tmp_path: Path) -> None:
    shutil.rmtree(exports / "more/yolo-obb")
    out = tmp_path / "out"
    assert run(exports, out).returncode == 0

    def statuses() -> list[str]:
        return [line.split()[0] for line in run(exports, out).stdout.splitlines()[1:]]

    assert statuses() == ["unchanged"] * 4
    coco(exports / "coco/annotations/val.json", annotations=[])
    (exports / "more/voc-flat/new.xml").write_text(
        "<annotation><size><width>1</width><height>1</height></size></annotation>"
    )
    os.utime(exports / "more/yolo-segmentation/labels/a.txt", (1, 1))
    planned = [line.split()[0] for line in run(exports, out, "--dry-run").stdout.splitlines()]
    assert planned == ["convert", "unchanged", "convert", "convert"]
    assert statuses() == ["done", "unchanged", "failed", "done"]  # an image that is not there
    content = json.loads((out / ".lightly/predictions/tasks.json").read_text())
    (out / ".lightly/predictions/tasks.json").write_text(json.dumps(content[1:]))
    shutil.rmtree(out / f".lightly/predictions/{content[0]}")
    (exports / "more/voc-flat/new.xml").unlink()
    assert statuses() == ["done", "unchanged", "unchanged", "unchanged"]


def test_a_task_that_was_written_by_other_means_is_not_taken_for_done(tmp_path: Path, fixtures: Path) -> None:
    plan = Plan([Job([str(coco(tmp_path / "a.json"))], Options(format="coco"))])

    def statuses(overwrite: bool = False) -> list[str]:
        return [one.status for one in labelferry.batch(plan, tmp_path / "out", workers=1, overwrite=overwrite)]

    assert statuses() == ["done"]
    assert statuses() == ["unchanged"]
    labelferry.convert(fixtures / "voc/flat", tmp_path / "out", format="voc", task_name="a", overwrite=True)
    assert statuses() == ["failed"]
    assert statuses(overwrite=True) == ["done"]


def test_the_datasource_may_be_the_folder_of_the_exports(fixtures: Path, tmp_path: Path) -> None:
    """Its own predictions are no export, and do not make an export look changed."""
    shutil.copytree(fixtures / "yolo/segmentation", tmp_path / "data/yolo")
    shutil.copytree(fixtures / "yolo/segmentation/images", tmp_path / "data/images")
    coco(tmp_path / "data/labels.json")
    (tmp_path / "data/a.jpg").touch()
    for expected in ("done", "unchanged"):
        done = run(tmp_path / "data", tmp_path / "data")
        assert done.returncode == 0, done.stderr
        assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [[expected, "labels"], [expected, "yolo"]]
    shutil.copytree(fixtures / "yolo/segmentation", tmp_path / "root")
    for expected in ("done", "unchanged"):
        done = run(tmp_path / "root", tmp_path / "root")
        assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [[expected, "root"]], done.stderr


def test_what_fails_fails_alone(exports: Path, tmp_path: Path) -> None:
    coco(
        exports / "coco/annotations/val.json",
        annotations=[{"id": 1, "image_id": 9, "category_id": 2, "bbox": [1, 1, 1, 1]}],
    )
    shutil.rmtree(exports / "more/yolo-obb")
    done = run(exports, tmp_path / "out")
    assert done.returncode == 1
    assert "coco_annotations_val: 1 error(s), nothing was published" in done.stderr
    assert len(tasks(tmp_path / "out")) == 3
    assert done.stdout.splitlines()[1].split()[:2] == ["failed", "coco_annotations_val"]


def test_tasks_of_others_are_not_touched(exports: Path, tmp_path: Path, fixtures: Path) -> None:
    labelferry.convert(fixtures / "yolo/data.yaml", tmp_path / "out", format="yolo", task_name="coco_annotations_val")
    before = read_valid_task(tmp_path / "out", "coco_annotations_val")
    plan = plan_folder(exports / "coco")
    assert plan.jobs[0].name == "annotations_val"
    options = replace(plan.jobs[0].options, task_name="coco_annotations_val")
    plan = Plan([replace(plan.jobs[0], options=options)])
    (outcome,) = labelferry.batch(plan, tmp_path / "out", workers=1)
    assert outcome.status == "failed"
    assert "exists" in outcome.error
    assert read_valid_task(tmp_path / "out", "coco_annotations_val") == before
    (outcome,) = labelferry.batch(plan, tmp_path / "out", workers=1, overwrite=True)
    assert outcome.status == "done"


def test_a_plan_is_written_edited_and_run(exports: Path, tmp_path: Path) -> None:
    text = run(exports, "--init").stdout
    assert text == plan_to_yaml(plan_folder(exports))
    assert "--obb" in text
    content = yaml.safe_load(text)
    content["datasource"] = "out"
    content["jobs"].append(
        {
            "source": str(exports / "more/yolo-obb"),
            "format": "yolo",
            "task_name": "ships",
            "classes": {"ship": "vessel"},
            "options": {"obb": True},
        }
    )
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump(content))
    done = run("jobs.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    schema, found = read_valid_task(tmp_path / "out", "ships")
    assert [category["name"] for category in schema["categories"]] == ["vessel"]
    assert any(found.values())


def test_batch_converts_a_folder_and_reports_what_is_unclear(exports: Path, tmp_path: Path) -> None:
    outcomes = labelferry.batch(exports, tmp_path / "out", workers=1)
    assert [(outcome.task_name, outcome.status) for outcome in outcomes] == [
        ("coco_annotations_val", "done"),
        ("more_mot-train", "done"),
        ("more_voc-flat", "done"),
        ("more_yolo-segmentation", "done"),
        ("yolo-obb", "failed"),
    ]
    assert outcomes[0].report is not None
    assert outcomes[0].report.objects == {"car": 0, "bus": 1}
    assert "--obb" in outcomes[-1].error
    (unclear,) = labelferry.batch(exports / "more/yolo-obb", tmp_path / "out")
    assert (unclear.status, unclear.report) == ("failed", None)


def test_batch_runs_a_plan_and_reports_its_progress(tmp_path: Path) -> None:
    coco(tmp_path / "a.json")
    (tmp_path / "jobs.yaml").write_text("datasource: out\njobs:\n- {source: a.json, task_name: first}\n")
    calls: list[Any] = []
    (outcome,) = labelferry.batch(
        str(tmp_path / "jobs.yaml"), workers=1, progress=lambda *arguments: calls.append(arguments)
    )
    assert (outcome.task_name, outcome.status, outcome.error) == ("first", "done", "")
    assert calls == [("first", 1, 1, "images")]
    assert tasks(tmp_path / "out") == ["first"]
    assert outcome.to_dict()["report"]["images"] == 1


@pytest.mark.parametrize(
    ("plan", "options", "message"),
    [
        (Plan([Job(["a.json"]), Job(["b/a.json"])]), {}, "two jobs make the task 'a'"),
        (Plan([Job(["a.json"])]), {"datasource": None}, "name the datasource"),
        (Plan([Job(["a.json"])]), {"workers": 0}, "workers is an integer of at least 1, not 0"),
        (Plan([]), {}, "nothing to convert"),
        ("no such plan.yaml", {}, "does not exist"),
    ],
)
def test_batch_refuses_wrong_arguments(plan: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(labelferry.UsageError, match=message):
        labelferry.batch(plan, **{"datasource": tmp_path / "out", **options})
    assert not (tmp_path / "out").exists()


def test_a_worker_that_is_killed_fails_its_job_alone(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom labelferry import Adapter, Category, Image, TaskType\n\n\nclass Deadly(Adapter):\n"
        "    tasks = (TaskType.OBJECT_DETECTION,)\n    def __init__(self, path): ...\n"
        "    def get_categories(self): return [Category(0, 'a')]\n    def get_images(self): return [Image('a.jpg')]\n"
        "    def get_labels(self, image): os._exit(9)\n"
    )
    jobs = [
        Job([str(tmp_path)], Options(format=str(tmp_path / "deadly.py"), task_name="x")),
        Job([str(coco(tmp_path / "a.json"))], Options(format="coco")),
    ]
    failed, done = labelferry.batch(Plan(jobs), tmp_path / "out", workers=2)
    assert (failed.status, done.status) == ("failed", "done"), (failed, done)
    assert "a worker process was killed" in failed.error


def test_several_exports_become_one_task(tmp_path: Path) -> None:
    first = coco(tmp_path / "train.json")
    second = coco(
        tmp_path / "val.json",
        images=[{"id": 1, "file_name": "b.jpg", "width": 64, "height": 48}],
        categories=[{"id": 3, "name": "dog"}, {"id": 2, "name": "bus"}],
    )
    plan = Plan([Job([str(first), str(second)], Options(format="coco", task_name="all"))])
    (outcome,) = labelferry.batch(plan, tmp_path / "out", workers=2)
    assert outcome.status == "done", outcome.error
    schema, found = read_valid_task(tmp_path / "out", "all")
    assert [category["name"] for category in schema["categories"]] == ["car", "bus", "dog"]
    assert {name: p[0]["category_id"] for name, p in found.items()} == {"a.jpg": 1, "b.jpg": 1}


def test_contradictions_are_refused_unless_told_which_wins(tmp_path: Path) -> None:
    first = coco(tmp_path / "a.json")
    second = coco(tmp_path / "b.json", annotations=[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [9, 9, 9, 9]}])
    other = coco(tmp_path / "c.json", categories=[{"id": 1, "name": "bus"}, {"id": 2, "name": "car"}])

    def merge(paths: list[Path], conflicts: Any = "refuse") -> Outcome:
        job = Job([str(path) for path in paths], Options(format="coco", task_name="t"), conflicts=conflicts)
        plan = Plan([job])
        (outcome,) = labelferry.batch(plan, tmp_path / "out", workers=1)
        return outcome

    refused = merge([first, second])
    assert refused.status == "failed"
    assert refused.report is not None
    assert [error.code for error in refused.report.errors] == ["name-collision"]
    assert "the id 1 is 'car' in export 1 and 'bus' in export 2" in merge([first, other]).error
    assert not (tmp_path / "out/.lightly/predictions/tasks.json").exists()
    for conflicts, category in (("first", 1), ("last", 0)):
        outcome = merge([first, second], conflicts)
        assert outcome.report is not None
        assert [note.code for note in outcome.report.notes] == ["labelled-twice"]
        assert read_valid_task(tmp_path / "out", "t")[1]["a.jpg"][0]["category_id"] == category
    assert merge([first, other], "last").status == "done"
    schema, found = read_valid_task(tmp_path / "out", "t")
    assert schema["categories"][found["a.jpg"][0]["category_id"]]["name"] == "car"  # by names


def test_merged_adapters_are_sound(fixtures: Path, tmp_path: Path) -> None:
    cls = get_adapter("yolo")
    merged = Merged([cls(fixtures / "yolo/data.yaml"), cls(fixtures / "yolo/plain")])
    assert [
        problem for problem in check_adapter(merged) if "adapters" not in problem and "conflicts" not in problem
    ] == []
    with pytest.raises(labelferry.UsageError, match="no task type can be made of all exports"):
        labelferry.convert(
            Merged([cls(fixtures / "yolo/pose"), get_adapter("csv")(fixtures / "csv/classes.csv")]), tmp_path
        )


def test_frames_of_formats_that_count_differently(fixtures: Path, tmp_path: Path, convert: Any) -> None:
    """YOLO counts frames from 1, CVAT from 0."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("person\ncar\n")
    (tmp_path / "labels/drive_12.txt").write_text("1 .5 .5 .25 .25\n")
    yolo = get_adapter("yolo")(tmp_path / "classes.txt")
    cvat = get_adapter("cvat")(fixtures / "cvat/keyframes/annotations.xml")
    for adapters in ([yolo, cvat], [cvat, yolo]):
        found = convert(
            Merged(adapters, "first"), videos=fixtures / "cvat/videos", task="object-detection", task_name="t"
        )
        assert len(found) == 12
        assert [p["category_id"] for p in found["drive-00-mp4.png"]] == [1]
        assert found["drive-11-mp4.png"]


def test_a_defect_of_an_adapter_stops_no_other_job(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "from labelferry import Adapter, TaskType\n\n\nclass Bad(Adapter):\n    tasks = (TaskType.OBJECT_DETECTION,)\n"
        "    def __init__(self, path): ...\n    def get_categories(self): return 1 / 0\n"
        "    def get_images(self): ...\n    def get_labels(self, image): ...\n"
    )
    jobs = [
        Job([str(tmp_path)], Options(format=str(tmp_path / "bad.py"), task_name="x")),
        Job([str(coco(tmp_path / "a.json"))], Options(format="coco")),
    ]
    failed, done = labelferry.batch(Plan(jobs), tmp_path / "out", workers=1)
    assert (failed.status, done.status) == ("failed", "done")
    assert "ZeroDivisionError" in failed.error


def test_different_formats_and_files_of_adapters(fixtures: Path, tmp_path: Path) -> None:
    """auto finds the format of each export; an adapter in a file is known to the workers."""
    page = (ROOT / "docs/custom-adapters.md").read_text(encoding="utf-8")
    code = page.split('```python title="my_adapter.py"\n')[1].split("```")[0]
    (tmp_path / "my_adapter.py").write_text(code)
    (tmp_path / "boxes.txt").write_text("".join(f"{i}.jpg 64 48 car 1 2 3 4 0.5\n" for i in range(70)))
    both = [str(fixtures / "yolo/data.yaml"), str(fixtures / "voc/flat")]
    plan = {
        "jobs": [
            {"source": "boxes.txt", "format": "my_adapter.py:Boxes"},
            {"source": both, "task_name": "both", "conflicts": "first"},
        ]
    }
    (tmp_path / "jobs.json").write_text(json.dumps(plan))
    done = run(tmp_path / "jobs.json", tmp_path / "out", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert len(read_valid_task(tmp_path / "out", "boxes")[1]) == 70
    assert len(read_valid_task(tmp_path / "out", "both")[1]) == 6


def test_a_task_of_an_earlier_version_is_converted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan([Job([str(coco(tmp_path / "a.json"))], Options(format="coco", task_name="t"))])
    assert [outcome.status for outcome in labelferry.batch(plan, tmp_path / "out", workers=1)] == ["done"]
    assert [outcome.status for outcome in labelferry.batch(plan, tmp_path / "out", workers=1)] == ["unchanged"]
    monkeypatch.setattr("labelferry.run.batch.version", lambda _: "0.0.1")
    assert [outcome.status for outcome in labelferry.batch(plan, tmp_path / "out", workers=1)] == ["done"]


def merged_outcome(tmp_path: Path, sources: list[Path], **options: Any) -> Outcome:
    format_options = options.pop("options", {})
    job = Job([str(path) for path in sources], Options(task_name="t", **options), format_options)
    (outcome,) = labelferry.batch(Plan([job]), tmp_path / "out", workers=1)
    return outcome


def test_errors_of_each_export_are_errors_of_the_merged_task(fixtures: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(fixtures / "yolo/segmentation", tmp_path / name)
    data = next((tmp_path / "two").glob("*.yaml"))
    data.write_text(data.read_text() + "\nvalid: nowhere\n")
    for image in [path for path in (tmp_path / "two").rglob("*") if path.suffix in (".png", ".jpg")]:
        image.rename(image.with_name(f"two_{image.name}"))
    for label in [path for path in (tmp_path / "two").rglob("*.txt") if path.name != "classes.txt"]:
        label.rename(label.with_name(f"two_{label.name}"))
    outcome = merged_outcome(tmp_path, [tmp_path / "one", tmp_path / "two"], format="yolo")
    assert outcome.status == "failed"
    assert outcome.report is not None
    assert [error.code for error in outcome.report.errors] == ["split-missing"]


def test_instance_maps_that_are_merged_give_the_box_of_each_instance(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "ids").mkdir(parents=True)
        (tmp_path / name / "classes").mkdir()
        ids, classes = np.zeros((12, 16), np.uint8), np.zeros((12, 16), np.uint8)
        ids[1:3, 1:4], ids[8:11, 10:15] = 1, 2
        classes[1:3, 1:4] = classes[8:11, 10:15] = 1
        Image.fromarray(ids).save(tmp_path / name / "ids" / f"{name}.png")
        Image.fromarray(classes).save(tmp_path / name / "classes" / f"{name}.png")
    (tmp_path / "names.txt").write_text("background\ncar\n")
    adapters = [
        get_adapter("masks")(
            tmp_path / name / "ids", class_masks=str(tmp_path / name / "classes"), labels=tmp_path / "names.txt"
        )
        for name in ("a", "b")
    ]
    labelferry.convert(Merged(adapters), tmp_path / "out", task="object-detection", task_name="t")
    found = read_valid_task(tmp_path / "out", "t")[1]
    assert {name: [p["bbox"] for p in objects] for name, objects in found.items()} == {
        "a.png": [[1, 1, 3, 2], [10, 8, 5, 3]],
        "b.png": [[1, 1, 3, 2], [10, 8, 5, 3]],
    }


def test_poses_and_boxes_merge_into_object_detection(tmp_path: Path) -> None:
    poses = coco(
        tmp_path / "poses.json",
        images=[{"id": 1, "file_name": "p.jpg", "width": 64, "height": 48}],
        categories=[{"id": 1, "name": "person", "keypoints": ["a"], "skeleton": []}],
        annotations=[{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [5, 6, 2], "bbox": [1, 2, 30, 30]}],
    )
    boxes = coco(tmp_path / "boxes.json", categories=[{"id": 2, "name": "bus"}])
    outcome = merged_outcome(tmp_path, [poses, boxes], format="coco")
    assert outcome.report is not None
    assert (outcome.report.task_type, outcome.report.objects) == ("object-detection", {"person": 1, "bus": 1})

"""Plans: read from files, made of folders, printed, checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import labelferry
from labelferry.run.options import OPTION_NAMES, Options
from labelferry.run.plan import Job, Plan, load_plan, plan_folder, plan_schema, plan_to_yaml, read_plan
from tests.conftest import ROOT
from tests.core.run.test_batch import coco


@pytest.mark.parametrize("suffix", ["yaml", "json", "toml"])
def test_plans_in_every_notation(tmp_path: Path, suffix: str) -> None:
    """Paths are relative to the plan, options have the types of the format."""
    (tmp_path / "plans").mkdir()
    coco(tmp_path / "data/a.json")
    job = {"source": "../data/a.json", "format": "coco", "strict": True, "options": {"images": "../data"}}
    text = {
        "yaml": yaml.safe_dump({"jobs": [job]}),
        "json": json.dumps({"jobs": [job]}),
        "toml": '[[jobs]]\nsource = "../data/a.json"\nformat = "coco"\nstrict = true\noptions = {images = "../data"}\n',
    }[suffix]
    path = tmp_path / f"plans/jobs.{suffix}"
    path.write_text(text)
    (read,) = read_plan(path).jobs
    assert read.options.strict is True
    assert Path(read.format_options["images"]).resolve() == (tmp_path / "data").resolve()
    (outcome,) = labelferry.batch(Plan([read]), tmp_path / "out", workers=1)
    assert (outcome.status, outcome.task_name) == ("done", "a")


@pytest.mark.parametrize(
    ("suffix", "text", "line", "message"),
    [
        ("yaml", "jobs:\n- source: a.json\n- source: b.json\n  form: coco\n", 3, "unknown field `form`"),
        ("yaml", "jobs:\n- source: a.json\n  first_frame: one\n", 3, "Expected `int | null`"),
        ("yaml", "jobs:\n- source: a.json\n  on_error: stop\n", 3, "Invalid enum value 'stop'"),
        ("yaml", "jobs:\n- format: coco\n", 2, "missing required field `source`"),
        ("yaml", "jobs: [\n", 2, "invalid YAML"),
        ("yaml", "jobs:\n- source: a\n  format: coco\n  options: {imges: x}\n", 2, "has no option 'imges'"),
        ("yaml", "jobs:\n- source: a\n  format: coko\n", 2, "Did you mean 'coco'"),
        ("yaml", "jobs:\n- source: []\n", 2, "names no export"),
        ("yaml", "jobs:\n- source: a\n  format: coco\n  options: {tsak: x}\n", 2, "Did you mean 'task'?"),
        ("yaml", "jobs:\n- source: a\n- source: b\n  score: 1.5\n", 3, "score is a number from 0 to 1, not 1.5"),
        ("yaml", "jobs:\n- source: a\n  task: boxes\n", 2, "no task type 'boxes'"),
        ("yaml", "jobs:\n- source: a\n  strict: true\n  on_error: skip\n", 2, "--strict"),
        ("yaml", "jobs:\n- source: a\n  frame_step: 2\n", 2, "--frame-step require --videos"),
        ("yaml", "jobs:\n- source: a\n  task_name: 'a b'\n", 2, "task name"),
        ("json", '{\n "jobs": [\n  {"source": 7, "frames": []}\n ]\n}\n', 3, "Expected `str | array`, got `int`"),
        ("toml", '[[jobs]]\nsource = "a"\n\n[[jobs]]\nsource = "b"\nframe_step = "x"\n', 6, "Expected `int`"),
        ("toml", "jobs = \n", 1, "invalid TOML"),
        ("yaml", "- source: a\n", 1, "Expected `object`"),
    ],
)
def test_an_error_in_a_plan_has_its_line(tmp_path: Path, suffix: str, text: str, line: int, message: str) -> None:
    path = tmp_path / f"jobs.{suffix}"
    path.write_text(text)
    with pytest.raises(labelferry.ExportError) as raised:
        read_plan(path)
    assert message in raised.value.message
    assert raised.value.where == f"{path}:{line}"


def test_a_job_has_the_keys_of_its_options(tmp_path: Path) -> None:
    """All of them, but for three that belong to the whole run."""
    values = {
        "format": "my_adapter.py:Boxes",
        "task": "object-detection",
        "task_name": "mine",
        "classes": ["car"],
        "rename": {"car": "vehicle"},
        "keep_category_ids": True,
        "image_prefix": "day 1",
        "videos": "clips",
        "input": "root",
        "frames": "{video}_{frame}",
        "first_frame": 1,
        "frame_step": 5,
        "orientation": "upright",
        "score": 0.25,
        "on_error": "skip",
        "allow_empty": True,
        "strict": False,
    }
    assert {*values, "as_", "overwrite", "workers"} == set(OPTION_NAMES)
    (tmp_path / "my_adapter.py").write_text(
        "from labelferry import Adapter\n\n\nclass Boxes(Adapter):\n    def __init__(self, path): ...\n"
    )
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": [{"source": ["a", "b"], **values, "conflicts": "last"}], "datasource": "out"}))
    plan = load_plan(path)
    paths = {"videos": f"{tmp_path}/clips", "input": f"{tmp_path}/root"}
    options = Options(**values | paths | {"format": f"{tmp_path}/my_adapter.py:Boxes"})
    sources = [f"{tmp_path}/a", f"{tmp_path}/b"]
    assert plan == Plan([Job(sources, options, conflicts="last")], f"{tmp_path}/out")
    (job,) = plan.jobs
    plain = values | paths | {"classes": ("car",), "format": options.format, "source": sources, "conflicts": "last"}
    del plain["strict"]  # the default
    assert job.to_dict() == plain
    (tmp_path / "again.yaml").write_text(plan_to_yaml(plan))
    assert load_plan(tmp_path / "again.yaml") == plan


def test_a_job_from_python_becomes_plain_values(tmp_path: Path) -> None:
    options = Options(task=labelferry.TaskType.OBJECT_DETECTION, videos=tmp_path)
    assert Job(["a.json"], options).to_dict() == {
        "source": "a.json",
        "task": "object-detection",
        "videos": str(tmp_path),
    }


def test_a_plan_is_a_file_or_a_folder(tmp_path: Path) -> None:
    coco(tmp_path / "exports/a.json")
    assert [job.name for job in load_plan(tmp_path / "exports").jobs] == ["a"]
    with pytest.raises(labelferry.UsageError, match="does not exist"):
        load_plan(tmp_path / "none")


def test_the_schema_is_published() -> None:
    published = json.loads((ROOT / "docs/jobs.schema.json").read_text(encoding="utf-8"))
    assert published == plan_schema()


def test_names_of_tasks_do_not_collide(tmp_path: Path) -> None:
    coco(tmp_path / "a b.json")
    coco(tmp_path / "a_b.json")
    assert [job.name for job in plan_folder(tmp_path).jobs] == ["a_b", "a_b_2"]


def test_what_cannot_be_read_below_a_folder_is_unclear(tmp_path: Path) -> None:
    """Other formats, broken labels and archives; not what often lies beside an export."""
    exports = tmp_path / "exports"
    coco(exports / "good/a.json")
    for name in ("good/weights/best.pt", "good/readme.pdf", "packed/b.zip", "unpacked.zip"):
        (exports / name).parent.mkdir(exist_ok=True)
        (exports / name).write_bytes(b"%PDF-1.7" if name.endswith("pdf") else b"PK\x03\x04")
    coco(exports / "unpacked/b.json")
    (exports / "labelme/photos").mkdir(parents=True)
    for name in ("a", "b"):
        (exports / f"labelme/photos/{name}.json").write_text('{"shapes": [], "imagePath": "a.jpg"}')
    (exports / "broken").mkdir()
    (exports / "broken/a.json").write_text('{"images": [')
    (exports / "broken/notes.txt").write_bytes(b"\xff\xfe")
    (exports / "empty").mkdir()
    plan = plan_folder(exports)
    assert [job.name for job in plan.jobs] == ["good_a", "unpacked_b"]
    assert [(place.relative_to(exports).as_posix(), text.split(": ")[1]) for place, text in plan.unclear] == [
        ("broken", "it looks like truncated JSON, which ends at byte 12"),
        ("labelme/photos", "it looks like LabelMe"),
        ("packed", "it looks like a ZIP archive"),
    ]
    outcomes = labelferry.batch(exports, tmp_path / "out", workers=1)
    assert [(one.task_name, one.status) for one in outcomes] == [
        ("good_a", "done"),
        ("unpacked_b", "done"),
        ("broken", "failed"),
        ("photos", "failed"),
        ("packed", "failed"),
    ]
    assert "truncated JSON" in plan_to_yaml(plan)


def test_the_error_of_an_adapter_is_unclear(tmp_path: Path) -> None:
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo/data.yaml").write_text("train: images\nnames: [a]\n")
    ((place, text),) = plan_folder(tmp_path).unclear
    assert place == tmp_path / "yolo"
    assert text.startswith("yolo: ")
    assert "none of its splits" in text

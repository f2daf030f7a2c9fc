"""Adapters of other people: in a file, in Python, in a package; the page that explains them; check_adapter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelferry
import labelferry.converters as labelferry_converters
from labelferry.plugin import registry
from labelferry.testing import check_adapter
from tests.conftest import ROOT
from tests.lightly_models import read_valid_task

PAGE = ROOT / "docs/custom-adapters.md"


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labelferry", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder with the files that the page shows."""
    for title, content in re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.S):
        (tmp_path / title).parent.mkdir(exist_ok=True)
        (tmp_path / title).write_text(content, encoding="utf-8")
    return tmp_path


def test_the_commands_of_the_page(page: Path) -> None:
    commands = re.findall(r"^\$ labelferry (.*)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(commands) == 3
    for command in commands:
        done = run(*command.split(), cwd=page)
        assert done.returncode == 0, done.stderr
    assert "--min-score" in done.stdout
    schema, found = read_valid_task(page / "datasource", "my_adapter_object-detection")
    assert [category["name"] for category in schema["categories"]] == ["car", "person"]
    assert found == {
        "street.jpg": [{"category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9}],
        "yard/empty.jpg": [],
    }


def test_the_scripts_of_the_page(page: Path) -> None:
    done = subprocess.run([sys.executable, "convert.py"], cwd=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "{'car': 0, 'person': 1}\n"), done.stderr
    assert len(read_valid_task(page / "datasource2", "all_boxes")[1]["street.jpg"]) == 2
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=page, capture_output=True, text=True, check=False
    )
    assert "1 passed" in tested.stdout, tested.stdout


def test_files_at_fault(tmp_path: Path) -> None:
    two = "from labelferry import Adapter\nclass A(Adapter): pass\nclass B(Adapter): pass\n"
    (tmp_path / "two.py").write_text(two)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    for name, message in (
        ("two.py", "name one of its adapters .*: A, B"),
        ("two.py:C", "no adapter 'C'"),
        ("broken.py", "No module named 'nothing_of_this_name'"),
        ("none.py:A", "no file"),
    ):
        with pytest.raises(labelferry.UsageError, match=message):
            registry.get_adapter(str(tmp_path / name))
    assert registry.get_adapter(str(tmp_path / "two.py:B")).__name__ == "B"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package under tests/packages, built and installed into a folder."""
    folder = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "demo"
    source.mkdir()
    for path in (ROOT / "tests/packages/labelferry-demo").iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(source)]
    subprocess.run(command, check=True)
    return folder


def test_an_installed_package(package: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.txt").write_text("".join(f"{i}.jpg 64 48 car 1 2 3 4\n" for i in range(70)))
    arguments = "convert --from demo boxes.txt out --scale 2 --workers 2".split()
    done = run(*arguments, cwd=tmp_path, PYTHONPATH=str(package))
    assert done.returncode == 0, done.stderr
    found = read_valid_task(tmp_path / "out", "demo_object-detection")[1]
    assert len(found) == 70
    assert found["7.jpg"] == [{"category_id": 1, "bbox": [2, 4, 6, 8], "score": 1}]
    assert "--scale" in run("convert", "--from", "demo", "--help", cwd=tmp_path, PYTHONPATH=str(package)).stdout


def test_a_broken_package_breaks_no_other(package: Path, tmp_path: Path) -> None:
    done = run("formats", cwd=tmp_path, PYTHONPATH=str(package))
    assert done.returncode == 0, done.stderr
    assert "demo         Demo: a line for each box" in done.stdout
    assert (
        "labelferry_demo_broken:Broken, cannot be imported: ImportError: no module named something_else" in done.stdout
    )
    assert "labelferry_demo:NAMES, is not a subclass of labelferry.Adapter" in done.stdout
    assert "voc " in done.stdout
    done = run("convert", "--from", "demo-broken", "x", "y", cwd=tmp_path, PYTHONPATH=str(package))
    assert done.returncode == 2
    assert "cannot be imported" in done.stderr
    assert (
        "Did you mean 'demo'" in run("convert", "--from", "dem", "x", "y", cwd=tmp_path, PYTHONPATH=str(package)).stderr
    )


class Sound(labelferry.Adapter):
    """An adapter without fault; those below each have one."""

    tasks = (labelferry.TaskType.OBJECT_DETECTION,)

    def __init__(self, path: Path) -> None:
        self.path = path

    def get_categories(self) -> list[labelferry.Category]:
        return [labelferry.Category(1, "car")]

    def get_images(self) -> list[labelferry.Image]:
        return [labelferry.Image(f"{i}.jpg", i) for i in range(3)]

    def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
        return labelferry.Annotations.from_objects([labelferry.Object(1, box=(image.source, 1, 2, 3))], (64, 48))


class WithoutHelp(Sound):
    def __init__(self, path: Path, *, scale: float = 1) -> None:
        super().__init__(path)


class WithoutTasks(Sound):
    tasks = ()


class OtherTasks(Sound):
    def get_tasks(self) -> Any:
        return (labelferry.TaskType.CLASSIFICATION,)


class OneId(Sound):
    def get_categories(self) -> Any:
        return [labelferry.Category(1, "car"), labelferry.Category(1, "bus")]


class Shuffled(Sound):
    turn = 0

    def get_images(self) -> Any:
        self.turn += 1
        return super().get_images()[:: (-1) ** self.turn]


class Unpicklable(Sound):
    def get_images(self) -> Any:
        return [labelferry.Image("a.jpg", lambda: 1)]


class Heavy(Sound):
    def get_images(self) -> Any:
        return [labelferry.Image("a.jpg", bytes(1 << 21))]

    def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
        return labelferry.Annotations.empty((1, 1))


class Random(Sound):
    def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
        box = np.random.default_rng().random(4)
        return labelferry.Annotations.from_objects([labelferry.Object(1, box=box)], (64, 48))


class Remembering(Sound):
    def __getstate__(self) -> Any:
        return {"path": self.path, "elsewhere": True}

    def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
        return labelferry.Annotations.empty((64, 48)) if hasattr(self, "elsewhere") else super().get_labels(image)


class WrongShapes(Sound):
    def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
        return labelferry.Annotations(np.array([1, 2]), None, np.zeros((1, 4)), masks=[])


class WithoutBoxes(Sound):
    def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
        return labelferry.Annotations(np.array([1]), (64, 48))


class Failing(Sound):
    def get_labels(self, image: labelferry.Image) -> Any:
        return 1 / image.source if image.source < 1 else None


class Secretive(Sound):
    """Reads a file that its images do not name."""

    def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
        Path(__file__).with_suffix(".md").read_bytes()
        return super().get_labels(image)


class Miscounting(Sound):
    def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
        labels = super().get_labels(image)
        labels.found = 5
        return labels


@pytest.mark.parametrize(
    ("cls", "messages"),
    [
        (Sound, []),
        (WithoutHelp, ["'scale' has no help"]),
        (WithoutTasks, ["names no task types"]),
        (OtherTasks, ["the export holds ['classification']"]),
        (OneId, ["two categories have one id"]),
        (Shuffled, ["another order"]),
        (Unpicklable, ["cannot be pickled"]),
        (Heavy, ["carries 2,097"]),
        (Random, ["differ when they are read a second time", "another process"]),
        (Remembering, ["differ when they are read in another process"]),
        (
            WrongShapes,
            [
                "shape (2, 4), found (1, 4)",
                "id 2 is not one of",
                "0 masks for 2 objects",
                "size of the image is missing",
            ],
        ),
        (WithoutBoxes, ["there are no boxes"]),
        (Miscounting, ["the export lists 5 objects"]),
        (Failing, ["raised ZeroDivisionError", "labels are a NoneType"]),
    ],
)
def test_check_adapter_says_what_is_wrong(cls: Any, messages: list[str]) -> None:
    problems = check_adapter(cls(Path()))
    assert bool(problems) == bool(messages), problems
    for message in messages:
        assert any(message in problem for problem in problems), (message, problems)


@pytest.mark.parametrize(
    "name", ["coco/instances.json", "yolo", "cvat/video", "mot/train", "voc/devkit", "imagefolder/flat"]
)
def test_our_own_adapters_are_sound(fixtures: Path, name: str) -> None:
    cls = registry.get_adapter(name.partition("/")[0])
    assert check_adapter(cls(fixtures / name)) == []


def test_check_adapter_names_files_that_an_interrupted_run_would_not_notice() -> None:
    path = Path(__file__).with_suffix(".md")
    path.write_text("labels")
    try:
        assert check_adapter(Secretive(Path())) == [
            f"labels are read from {path}, which neither the image's nor the export's files name"
        ]
    finally:
        path.unlink()


def test_a_class_within_a_function_cannot_be_sent(tmp_path: Path) -> None:
    class Local(Sound):
        pass

    assert any("cannot be pickled" in problem for problem in check_adapter(Local(tmp_path)))


def test_private_modules_are_not_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "_shared.py").write_text("")
    (tmp_path / "other.py").write_text("")
    monkeypatch.setattr("labelferry.converters.__path__", [*labelferry_converters.__path__, str(tmp_path)])
    assert "other" in registry.format_names()
    assert "_shared" not in registry.format_names()
    with pytest.raises(labelferry.UsageError, match="there is no format '_shared'"):
        registry.get_adapter("_shared")


def test_every_package_of_the_sources_is_installed() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.findall(
        '"(labelferry.*)"', text[text.index("packages = [") : text.index("[tool.setuptools.package-dir]")]
    )
    folders = {path.parent for top in ("core", "converters") for path in (ROOT / top).rglob("__init__.py")}
    names = {
        ".".join(("labelferry", *(part for part in folder.relative_to(ROOT).parts if part != "core")))
        for folder in folders
        if "__pycache__" not in folder.parts
    }
    assert sorted(listed) == sorted(names)


def test_a_path_among_the_options_may_be_text(fixtures: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\nfox\n")
    report = labelferry.convert(
        str(fixtures / "csv/classes.csv"),
        str(tmp_path / "out"),
        format="csv",
        labels=str(tmp_path / "names.txt"),
        on_error="skip",
    )
    assert list(report.objects) == ["cat", "dog", "fox"]

"""What holds for every opened export of tracks: it is read alike anywhere, names its files, loses no object."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

import labelferry
from labelferry.plugin.adapter import Adapter, make_adapter
from labelferry.plugin.export import Request
from labelferry.plugin.registry import get_adapter
from labelferry.task_type import obtainable
from tests.exports import check_accounting, content, files_opened, listed, named_files, resumed_images, values

EXPORTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "cvat: images": ("cvat/images/annotations.xml", "", {}),
    "cvat: folder": ("cvat/folder", "cvat/videos", {}),
    "cvat: video": ("cvat/video/annotations.xml", "cvat/videos", {}),
    "cvat: keyframes": ("cvat/keyframes/annotations.xml", "cvat/videos", {}),
    "cvat: project": ("cvat/project/annotations.xml", "cvat/project/videos", {}),
    "cvat: a task": ("cvat/project/annotations.xml", "cvat/project/videos", {"only": "two"}),
    "mot: ground truth": ("mot/train", "mot/videos", {}),
    "mot: detections": ("mot/train", "mot/videos", {"file": "det"}),
    "mot: without seqinfo": ("mot/cvat", "", {}),
    "mot: with names": ("mot/train", "mot/videos", {"labels": "mot/names.txt"}),
    "mot: results": ("mot/results", "mot/videos", {}),
    "youtubevis": ("youtubevis/instances.json", "youtubevis/videos", {}),
    "youtubevis: results": (
        "youtubevis/results.json",
        "youtubevis/videos",
        {"dataset": "youtubevis/instances.json"},
    ),
}
"""By format and flavour: the path, its videos, and the options; relative to the folder of the exports."""

FRAMES_ALONE = ("mot: results",)
"""Exports without sizes of images."""


@pytest.fixture(scope="module")
def exports(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exports: the fixtures, and some that are made of them."""
    folder = tmp_path_factory.mktemp("exports") / "exports"
    shutil.copytree(fixtures, folder)
    for part in ("images", "keyframes"):
        shutil.copytree(fixtures / "cvat" / part, folder / "cvat/folder" / part)
    (folder / "mot/names.txt").write_text("walker\nrider\ncar\n")
    return folder


def adapter_of(name: str, exports: Path) -> Adapter:
    path, _, options = EXPORTS[name]
    given: dict[str, Any] = {
        key: exports / value if key in ("labels", "dataset") else value for key, value in options.items()
    }
    return make_adapter(get_adapter(name.partition(":")[0]), exports / path, given)


def ways(name: str, exports: Path) -> list[dict[str, Any]]:
    """Options of the conversions to images and to frames of videos."""
    videos = EXPORTS[name][1]
    return [{}, {"videos": exports / videos}] if videos else [{}]


@pytest.mark.parametrize("name", EXPORTS)
def test_an_adapter_gives_the_same_however_often_and_wherever_it_is_opened(name: str, exports: Path) -> None:
    """For images, then for frames of videos, then for images again."""
    adapter = adapter_of(name, exports)
    sent = pickle.dumps(adapter)
    for task in obtainable(adapter.open(Request()).tasks):
        first, *others = (content(adapter.open(Request(task, frames))) for frames in (False, True, False, True))
        assert others[1] == first
        assert others[2] == others[0]
        assert content(pickle.loads(sent).open(Request(task))) == first
    assert pickle.dumps(adapter) == sent, "opening has changed the adapter"


@pytest.mark.parametrize("name", EXPORTS)
def test_an_adapter_converts_images_and_then_videos_as_two_adapters_do(name: str, exports: Path, convert: Any) -> None:
    adapter = adapter_of(name, exports)
    for way in [*ways(name, exports), {}]:
        options = {"task_name": "t", "on_error": "skip", **way}
        assert convert(adapter, **options) == convert(adapter_of(name, exports), **options)


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_read_alike_in_another_process(name: str, exports: Path) -> None:
    adapter = adapter_of(name, exports)
    for task in obtainable(adapter.open(Request()).tasks):
        export = adapter.open(Request(task))
        images = listed(export)
        sent_export, sent_images = pickle.loads(pickle.dumps((export, images)))
        assert values(export, images) == values(sent_export, sent_images)


@pytest.mark.parametrize("name", EXPORTS)
def test_every_file_that_labels_come_from_is_named(name: str, exports: Path) -> None:
    adapter = adapter_of(name, exports)
    for task in obtainable(adapter.open(Request()).tasks):
        with files_opened(exports) as opened:
            export = adapter.open(Request(task))
            values(export, listed(export))
        assert opened
        assert opened <= named_files(export)


@pytest.mark.parametrize("name", EXPORTS)
def test_labels_are_read_again_if_a_named_file_has_changed(
    name: str, exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_of(name, exports)
    options = ways(name, exports)[-1] if name in FRAMES_ALONE else {}
    export = adapter.open(Request(None, bool(options)))
    assert resumed_images(adapter, tmp_path / "same", None, monkeypatch, **options) > 0
    for number, path in enumerate(sorted(filter(Path.exists, map(Path, named_files(export))))):
        assert resumed_images(adapter, tmp_path / str(number), str(path), monkeypatch, **options) == 0, path


@pytest.mark.parametrize("name", EXPORTS)
def test_no_object_is_missing_without_a_finding(name: str, exports: Path, tmp_path: Path) -> None:
    adapter = adapter_of(name, exports)
    for task in obtainable(adapter.open(Request()).tasks):
        for way in ways(name, exports):
            report = labelferry.convert(
                adapter, tmp_path, task=task, task_name="t", on_error="skip", overwrite=True, **way
            )
            check_accounting(report)
            assert report.found_objects

"""Nothing half-done is visible: a run is killed at every moment that matters, and at many random ones."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import labelferry
from labelferry.lightly import storage

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")

SYSTEM_CALLS = ("open", "write", "rename", "replace", "mkdir", "unlink", "rmdir", "ftruncate")


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def visible(folder: Path) -> dict[str, bytes]:
    """The files that someone who reads the datasource by Lightly's rules comes across: those of the listed tasks."""
    files = tree(folder)
    tasks = json.loads(files.get(".lightly/predictions/tasks.json", b"[]"))
    return {
        name: content
        for name, content in files.items()
        if name.endswith("predictions/tasks.json")
        or any(name.startswith(f".lightly/predictions/{task}/") for task in tasks)
    }


def write_coco(path: Path, images: int, shift: int = 0) -> Path:
    polygon = [1 + shift, 1, 30 + shift, 2, 20 + shift, 25]
    path.write_text(
        json.dumps(
            {
                "images": [
                    {"id": i, "file_name": f"{i % 7}/{i}.jpg", "width": 64, "height": 48} for i in range(images)
                ],
                "categories": [{"id": 1, "name": "a"}],
                "annotations": [
                    {
                        "id": i,
                        "image_id": i,
                        "category_id": 1,
                        "bbox": [1 + shift, 1, 29, 24],
                        "segmentation": [polygon],
                    }
                    for i in range(images)
                ],
            }
        )
    )
    return path


def killed_at_call(number: int, run: Callable[[], Any]) -> bool:
    """Run in a child that is killed right before its system call of this number; False if it made fewer."""
    child = os.fork()
    if child == 0:
        calls = 0

        def killing(function: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return wrapped

        for name in SYSTEM_CALLS:
            setattr(os, name, killing(getattr(os, name)))
        storage.exchange_folders = killing(storage.exchange_folders)
        run()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_before_any_system_call_leaves_old_or_new_and_the_next_run_completes(
    overwrite: bool, tmp_path: Path
) -> None:
    old, new = write_coco(tmp_path / "old.json", 10), write_coco(tmp_path / "new.json", 10, shift=1)

    def run(source: Path, datasource: Path, overwrite: bool = overwrite) -> None:
        labelferry.convert(source, datasource, format="coco", task_name="mine", overwrite=overwrite)

    def prepare(datasource: Path) -> None:
        labelferry.convert(old, datasource, format="coco", task_name="other")
        if overwrite:
            run(old, datasource, overwrite=False)

    reference = tmp_path / "reference"
    prepare(reference)
    before = visible(reference)
    run(new, reference)
    after = tree(reference)

    number, states = 0, []
    while True:
        number += 1
        datasource = tmp_path / f"killed_{number}"
        prepare(datasource)
        killed = killed_at_call(number, lambda at=datasource: run(new, at))
        state = visible(datasource)
        assert state in (before, visible(reference)), f"half-done before call {number}"
        states.append(state == before)
        try:
            run(new, datasource)
        except labelferry.UsageError:  # the task exists: nothing was left to do but to clean up
            assert state == visible(reference)
            assert not overwrite
        assert tree(datasource) == after, f"killed before call {number}"
        if not killed:
            break
    assert number > 30
    assert states == sorted(states, reverse=True), "once new, never old again"


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments_the_old_stands_and_the_next_run_completes(workers: int, tmp_path: Path) -> None:
    source = write_coco(tmp_path / "new.json", 3000)
    journal = "import labelferry.run.convert as p; p.JOURNAL_AFTER = 0; import labelferry.cli.app as c; c.main()"
    command = [sys.executable, "-c", journal, "convert", "--from", "coco", "--quiet", str(source)]
    options = ["--task-name", "mine", "--workers", str(workers), "--overwrite"]
    reference = tmp_path / "reference"
    labelferry.convert(write_coco(tmp_path / "old.json", 10), reference, format="coco", task_name="other")
    before = tree(reference)
    started = time.monotonic()
    subprocess.run([*command, str(reference), *options], check=True)
    duration = time.monotonic() - started
    after = tree(reference)

    moments = random.Random(workers)
    resumed = 0
    for attempt in range(10):
        datasource = tmp_path / f"killed_{attempt}"
        labelferry.convert(tmp_path / "old.json", datasource, format="coco", task_name="other")
        for _ in range(2):  # the second kill meets what the first has left
            process = subprocess.Popen([*command, str(datasource), *options], stderr=subprocess.DEVNULL)
            time.sleep(moments.uniform(0.3, 1.0) * duration)
            process.kill()
            process.wait()
        assert visible(datasource) in (before, after)
        report = labelferry.convert(source, datasource, format="coco", task_name="mine", overwrite=True)
        resumed += report.resumed_images > 0
        assert tree(datasource) == after
    assert resumed, "no kill came while files were being written"


def test_workers_end_when_the_run_is_killed(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "new.json", 20000)
    command = [
        sys.executable,
        "-m",
        "labelferry",
        "convert",
        "--from",
        "coco",
        str(source),
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen([*command, "--workers", "2"], start_new_session=True)
    staged = tmp_path / "out" / ".lightly"
    while not list(staged.rglob("*.json")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("worker processes were left behind")


def test_two_runs_of_one_task_at_once_are_refused(tmp_path: Path) -> None:
    from labelferry.lightly.task_folder import TaskFolder

    with (
        TaskFolder(tmp_path, "mine", "0123456789abcdef"),
        pytest.raises(labelferry.LabelferryError, match="another run is writing the task 'mine'"),
    ):
        TaskFolder(tmp_path, "mine", "fedcba9876543210")

"""python -m benchmarks: every claim of the README, measured in one go, as a Markdown table.

Medians of runs in turn (A B A B ...) on the same data, on a RAM disk where there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

import labelferry
from benchmarks import data, others
from labelferry.video import frame_count

Run = Callable[[Path], object]


def seconds(run: Run, folder: Path) -> float:
    """Of one run, which gets an empty folder of its own."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    started = time.perf_counter()
    run(out)
    return time.perf_counter() - started


def in_turn(ours: Run, theirs: Run, folder: Path, runs: int) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the pairs' ratios; one run of each goes before, uncounted."""
    seconds(ours, folder)
    seconds(theirs, folder)
    pairs = [(seconds(ours, folder), seconds(theirs, folder)) for _ in range(runs)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
    )


@contextlib.contextmanager
def peak_memory(peak: list[float], every: float = 0.05) -> Iterator[None]:
    """Adds the peak, in MB, of all processes below this one: the sum of their shares of memory (PSS).

    Looking costs the process that is looked at some time: `every` so many seconds.
    """
    done = threading.Event()
    highest = 0.0

    def watch() -> None:
        nonlocal highest
        while not done.wait(every):
            total = 0
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().pss
            highest = max(highest, total / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        peak.append(highest)


def command(*arguments: str | Path) -> Run:
    """A whole command, start-up included; '{out}' stands for the run's folder."""

    def run(out: Path) -> None:
        words = [str(argument).replace("{out}", str(out)) for argument in arguments]
        subprocess.run([Path(sys.executable).with_name(words[0]), *words[1:]], check=True, stdout=subprocess.DEVNULL)

    return run


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def compare(what: str, than: str, ours: Run, theirs: Run, folder: Path, runs: int, goal: str) -> None:
    mine, other, ratio = in_turn(ours, theirs, folder, runs)
    memory: list[float] = []
    with peak_memory(memory):
        seconds(ours, folder)
    in_process = f"{memory[0]:.0f} MB" if memory[0] else "in process"
    row(
        what,
        f"{mine:.2g} s" if mine < 0.1 else f"{mine:.2f} s",
        than,
        f"{other:.2f} s",
        f"{ratio:.1f}x",
        goal,
        in_process,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, help="where to put data and results; default: a RAM disk if there is one"
    )
    parser.add_argument("--runs", type=int, default=5)
    words = "coco, masks, yolo, voc, video, python, large, start_up"
    parser.add_argument("--only", default="", help=f"only the rows with this word: {words}")
    options = parser.parse_args()
    place = options.folder or (Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None)
    with tempfile.TemporaryDirectory(prefix="labelferry_", dir=place) as name:
        row("what", "labelferry", "against", "takes", "faster", "aim", "peak memory")
        row(*["---"] * 7)
        for section in (coco, masks, yolo, voc, video, python, large, start_up):
            if options.only in section.__name__:
                folder = Path(name, section.__name__)
                folder.mkdir()
                section(folder, options.runs)
                shutil.rmtree(folder)


def coco(folder: Path, runs: int) -> None:
    source = folder / "instances.json"
    images, objects = data.write_coco(source, data.IMAGES)
    size = f"{images:,} images, {objects:,} objects"

    def convert(task: str, source: Path = source) -> Run:
        return lambda out: labelferry.convert(source, out, format="coco", task=task)

    compare(
        f"COCO detection, {size}, in process",
        "labelformat",
        convert("object-detection"),
        lambda out: others.labelformat_coco(source, out),
        folder,
        runs,
        "10x",
    )
    compare(
        "the same, whole commands",
        "labelformat",
        command("labelferry", "convert", "--from", "coco", "--task", "object-detection", source, "{out}"),
        command(
            *("labelformat", "convert", "--task", "object-detection", "--input-format", "coco", "--input-file", source),
            *("--output-format", "lightly", "--output-folder", "{out}/od"),
        ),
        folder,
        runs,
        "5x",
    )
    part = folder / "part.json"
    images, objects = data.write_coco(part, 948)
    compare(
        f"COCO instance segmentation, {images:,} images, {objects:,} objects, one worker, in process",
        "documented recipe",
        convert("instance-segmentation", part),
        lambda out: others.documented_recipe(part, out),
        folder,
        min(runs, 3),
        "15x",
    )


def masks(folder: Path, runs: int) -> None:
    maps = folder / "maps"
    data.write_label_maps(maps)
    mine, decoding, ratio = in_turn(
        lambda out: labelferry.convert(maps, out, format="masks", labels=folder / "names.txt"),
        lambda out: others.decode_all(maps),
        folder,
        runs,
    )
    row(
        "Semantic masks, 100 PNGs of 1024 x 2048, 19 classes, in process",
        f"{mine:.2f} s",
        "Pillow, decoding alone",
        f"{decoding:.2f} s",
        f"{1 / ratio:.2f} of its time",
        "1.5",
        "in process",
    )


def yolo(folder: Path, runs: int) -> None:
    images, objects = data.write_coco(folder / "instances.json", data.IMAGES)
    data.write_yolo(folder / "yolo", folder / "instances.json")
    source = folder / "yolo" / "data.yaml"
    compare(
        f"YOLO detection, {images:,} images, {objects:,} objects, in process",
        "labelformat",
        lambda out: labelferry.convert(source, out, format="yolo"),
        lambda out: others.labelformat_yolo(source, out),
        folder,
        runs,
        "6x",
    )


def voc(folder: Path, runs: int) -> None:
    images, objects = data.write_coco(folder / "instances.json", data.IMAGES)
    names = data.write_voc(folder / "voc", folder / "instances.json")
    (folder / "names.txt").write_text("\n".join(names))
    source = folder / "voc" / "Annotations"
    compare(
        f"Pascal VOC detection, {images:,} images, {objects:,} objects, in process",
        "labelformat",
        lambda out: labelferry.convert(source, out, format="voc", labels=folder / "names.txt"),
        lambda out: others.labelformat_voc(source, out, names),
        folder,
        runs,
        "5x",
    )


def video(folder: Path, runs: int) -> None:
    path = folder / "clip.mp4"
    data.write_video(path, 1000)
    compare(
        "counting 1,000 frames of 360p H.264, in process",
        "documented recipe, to_image",
        lambda out: frame_count.count_frames(path),
        lambda out: others.decode_video(path),
        folder,
        runs,
        "10x",
    )


def python(folder: Path, runs: int) -> None:
    """`open_task` writes each image as a batch of one: the limit keeps this the only path."""
    images = 3000
    boxes = np.random.default_rng(0).random((images, 8, 4)) * 100 + 1
    ids = np.arange(8)

    def write(out: Path) -> None:
        with labelferry.open_task(out, "boxes", "object-detection", [f"class {i}" for i in range(8)]) as task:
            for number in range(images):
                task.write(f"{number}.jpg", size=(640, 480), xywh=boxes[number], category_ids=ids)

    times = [seconds(write, folder) for _ in range(runs)]
    each = statistics.median(times) / images * 1e6
    what = f"open_task, {images:,} images of 8 boxes, each"
    row(what, f"{each:.0f} us", "", "", "", "at most 200 us", "in process")


def large(folder: Path, runs: int) -> None:
    """Time in proportion to the data, memory to the file."""
    times: dict[tuple[str, int], float] = {}
    for part in (10, 1):
        source = folder / "instances.json"
        images, objects = data.write_coco(source, data.TRAIN2017_IMAGES // part)
        size = source.stat().st_size / 1e6
        for task in ("object-detection", "instance-segmentation"):
            memory: list[float] = []
            run = command("labelferry", "convert", "--from", "coco", "--task", task, "--quiet", source, "{out}")
            with peak_memory(memory, 0.5 if part == 1 else 0.05):
                times[task, part] = seconds(run, folder)
            tenth = times[task, 10]
            row(
                f"COCO {task}, {images:,} images, {objects:,} objects, {size:.0f} MB, whole command",
                f"{times[task, part]:.1f} s",
                "a tenth of it",
                f"{tenth:.1f} s",
                f"{times[task, part] / tenth:.1f} times the time",
                "10 times; memory 2.5x the file" if part == 1 else "",
                f"{memory[0]:.0f} MB, {memory[0] / size:.2f}x the file",
            )


def start_up(folder: Path, runs: int) -> None:
    times = [seconds(command("labelferry", "--help"), folder) for _ in range(2 * runs)]
    row("labelferry --help", f"{statistics.median(times):.2f} s", "", "", "", "0.3 s", "")


if __name__ == "__main__":
    main()

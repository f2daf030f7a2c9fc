"""open_task: what models give, written image by image and frame by frame, from one process or several."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import labelferry
from benchmarks.others import documented_encode
from tests.core.predictions.clients import Tensor
from tests.lightly_models import read_valid_task
from tests.video_files import write_changing_video

BOXES = np.array([(8, 6, 28, 16), (40.5, 10, 60.25, 20)])
XYWH = [[8, 6, 20, 10], [40.5, 10, 19.75, 10]]


class DLPack:
    """A tensor that is known by the DLPack protocol alone."""

    def __init__(self, data: Any) -> None:
        self._data = np.asarray(data)

    def __dlpack__(self, **_: Any) -> Any:
        return self._data.__dlpack__()

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()


@pytest.mark.parametrize("make", [np.array, list, Tensor, DLPack, lambda data: Tensor(data, bfloat16=True)])
def test_boxes_of_every_kind_of_array(write: Any, make: Any) -> None:
    columns = {"scores": make([0.5, 0.25]), "category_ids": make([1, 0]), "size": (64, 48)}
    expected = [
        {"category_id": 1, "bbox": XYWH[0], "score": 0.5},
        {"category_id": 0, "bbox": XYWH[1], "score": 0.25},
    ]
    assert write("object-detection", ["person", "car"], xyxy=make(BOXES.tolist()), **columns) == expected
    assert write("object-detection", ["person", "car"], xywh=make(XYWH), **columns) == expected


def test_no_predictions_are_an_image_without_objects(write: Any) -> None:
    assert write("object-detection", ["person"], size=(64, 48)) == []
    nothing = {"xyxy": np.zeros((0, 4)), "scores": [], "category_ids": []}
    assert write("object-detection", ["person"], size=(64, 48), **nothing) == []
    assert write.report.empty_images == write.report.images == 1


def test_masks_of_every_kind(write: Any) -> None:
    pixels = np.zeros((48, 64), bool)
    pixels[10:20, 30:50] = True
    runs = labelferry.encode(pixels)
    polygon = [30.0, 10, 50, 10, 50, 20, 30, 20]
    columns = [30 * 48 + 10, *[10, 38] * 19, 10]  # of COCO, column after column
    rle = {"size": [48, 64], "counts": [*columns, 48 * 64 - sum(columns)]}
    given = [pixels, [polygon], polygon, [(30, 10), (50, 10), (50, 20), (30, 20)], rle]
    given += [labelferry.RunLengthMask.from_array(pixels), pixels.astype(np.float32)]
    found = write("instance-segmentation", ["car"], masks=given, size=(64, 48))
    assert [p["segmentation"] for p in found] == [runs] * len(given)
    assert {tuple(p["bbox"]) for p in found} == {(30, 10, 20, 10)}
    for stack in (pixels[None], Tensor(pixels[None]), pixels[None].astype(np.uint8)):
        assert write("instance-segmentation", ["car"], masks=stack)[0]["segmentation"] == runs


def test_keypoints(write: Any) -> None:
    person = labelferry.Category(0, "person", ("nose", "foot"), ((1, 2),))
    points = np.array([[(10, 11, 0.5), (12, 30, 1)]])
    (found,) = write("keypoint-detection", [person], keypoints=points, scores=[0.75], size=(64, 48))
    assert found["keypoints"] == [10, 11, 0.5, 12, 30, 1]
    (found,) = write("keypoint-detection", [person], keypoints=points[..., :2], xyxy=[[9, 9, 20, 31]], size=(64, 48))
    assert found["keypoints"] == [10, 11, 1, 12, 30, 1]
    assert found["bbox"] == [9, 9, 11, 22]
    assert write.schema["categories"][0]["skeleton"] == [[1, 2]]


def test_classification(write: Any) -> None:
    (found,) = write("classification", ["cat", "dog"], probabilities=[0.25, 0.75])
    assert found == {"category_id": 1, "probabilities": [0.25, 0.75], "score": 0.75}
    (found,) = write("classification", ["cat", "dog"], category_ids=0)
    assert found["probabilities"] == [1, 0]
    (found,) = write("classification", {"dog": 2, "cat": 0}, probabilities=[0.375, 0.5, 0.125])
    assert found == {"category_id": 0, "probabilities": [0.75, 0.25], "score": 0.75}


def test_classes_are_kept_by_id_or_refused(write: Any) -> None:
    columns = {"xyxy": BOXES, "category_ids": [7, 2], "size": (64, 48)}
    (found,) = write("object-detection", {"car": 2, "bus": 5}, **columns)
    assert found["bbox"] == XYWH[1]
    assert found["category_id"] == 0
    assert [(note.code, note.count) for note in write.report.notes] == [("class-left-out", 1)]
    with pytest.raises(labelferry.ExportError, match="category id 7"):
        write("object-detection", ["person", "bicycle", "car"], **columns)


score_maps = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 4), st.integers(1, 6), st.integers(1, 6)), elements=st.floats(0, 1, width=16)
)


@given(score_maps, st.sampled_from(["median", "mean"]))
def test_semantic_segmentation_as_documented(tmp_path_factory: Any, scores: Any, aggregate: str) -> None:
    """argmax over the classes; for each class that is somewhere, the run lengths of the documentation's encode, and
    the median or mean of its scores over its pixels."""
    folder = tmp_path_factory.mktemp("semantic")
    names = [f"class {i}" for i in range(len(scores))]
    with labelferry.open_task(folder, "t", "semantic-segmentation", names, aggregate=aggregate) as task:  # type: ignore[arg-type]
        task.write("a.png", class_scores=scores)
        task.write("tensor.png", class_scores=Tensor(scores[None]))
    found = read_valid_task(folder, "t")[1]
    best = scores.argmax(axis=0)
    combine = {"median": np.median, "mean": np.mean}[aggregate]
    expected = [
        (i, documented_encode(best == i), combine(scores[i][best == i]))
        for i in range(len(scores))
        if (best == i).any()
    ]
    assert [(p["category_id"], p["segmentation"]) for p in found["a.png"]] == [(i, runs) for i, runs, _ in expected]
    assert [p["score"] for p in found["a.png"]] == pytest.approx([score for *_, score in expected])
    assert found["tensor.png"] == found["a.png"]


def test_semantic_segmentation_of_some_classes(write: Any) -> None:
    scores = np.array([[[0.9, 0.1]], [[0.1, 0.2]], [[0.0, 0.7]]])
    (found,) = write("semantic-segmentation", {"road": 2}, class_scores=scores)
    assert found == {"category_id": 0, "segmentation": [1, 1], "score": 0.7}
    with pytest.raises(labelferry.ExportError, match="class_scores: those of 3 classes"):
        write("semantic-segmentation", ["sky", "road"], class_scores=scores)
    with pytest.raises(labelferry.ExportError, match=r"score .* is not in \[0, 1\]"):
        write("semantic-segmentation", ["a", "b", "c"], class_scores=scores * 9)


# Results of Ultralytics, with the attributes and shapes of https://docs.ultralytics.com/reference/engine/results/
NAMES = {0: "person", 1: "bicycle", 2: "car"}


def results(**parts: Any) -> SimpleNamespace:
    nothing = {"boxes": None, "masks": None, "probs": None, "keypoints": None, "obb": None}
    return SimpleNamespace(orig_shape=(48, 64), names=NAMES, path="a.png", **{**nothing, **parts})


def ultralytics_boxes(ids: Any = (2, 0)) -> SimpleNamespace:
    return SimpleNamespace(
        xyxy=Tensor(BOXES.astype(np.float32)), conf=Tensor(np.float32([0.5, 0.25])), cls=Tensor(np.float32(ids))
    )


def test_ultralytics_boxes_go_by_name(write: Any) -> None:
    (found,) = write("object-detection", ["car"], results(boxes=ultralytics_boxes()))
    assert found == {"category_id": 0, "bbox": XYWH[0], "score": 0.5}
    assert write.report.notes[0].code == "class-left-out"
    assert write("object-detection", ["car"], [results(boxes=ultralytics_boxes())]) == [found]  # as a model gives it
    nothing = SimpleNamespace(xyxy=np.zeros((0, 4)), conf=np.zeros(0), cls=np.zeros(0))
    assert write("object-detection", ["car"], results(boxes=nothing)) == []


def test_a_size_of_any_two_numbers(write: Any) -> None:
    for size in ([64, 48], np.array([64, 48]), (64.0, 48.0)):
        assert len(write("object-detection", ["car"], results(boxes=ultralytics_boxes()), size=size)) == 1


def test_ultralytics_keypoints_classes_and_oriented_boxes(write: Any) -> None:
    points = np.float32([[(10, 11, 0.5), (12, 30, 1)], [(42, 11, 0.25), (44, 19, 0.75)]])
    found = write(
        "keypoint-detection",
        [labelferry.Category(0, "person", ("nose", "foot"))],
        results(boxes=ultralytics_boxes((0, 0)), keypoints=SimpleNamespace(data=Tensor(points))),
    )
    assert [p["keypoints"] for p in found] == points.reshape(2, -1).tolist()
    (found,) = write(
        "classification",
        ["car", "person"],
        results(probs=SimpleNamespace(data=Tensor(np.float32([0.25, 0.25, 0.5])))),
    )
    assert found["category_id"] == 0
    assert found["probabilities"] == pytest.approx([2 / 3, 1 / 3])
    found = write("object-detection", ["person", "car"], results(obb=ultralytics_boxes()))
    assert [p["category_id"] for p in found] == [1, 0]


@pytest.mark.filterwarnings("ignore")
class TestSupervision:
    def test_detections(self, write: Any) -> None:
        supervision = pytest.importorskip("supervision")
        pixels = np.zeros((2, 48, 64), bool)
        pixels[0, 6:16, 8:28] = pixels[1, 10:20, 40:60] = True
        detections = supervision.Detections(
            xyxy=BOXES, mask=pixels, confidence=np.array([0.5, 0.25]), class_id=np.array([2, 0])
        )
        found = write("object-detection", {"car": 2, "person": 0}, detections, size=(64, 48))
        assert [(p["category_id"], p["bbox"], p["score"]) for p in found] == [(1, XYWH[0], 0.5), (0, XYWH[1], 0.25)]
        found = write("instance-segmentation", {"car": 2, "person": 0}, detections)
        assert [p["segmentation"] for p in found] == [labelferry.encode(mask) for mask in pixels]
        detections.data["class_name"] = np.array(["truck", "person"])
        (found,) = write("object-detection", ["person"], detections, size=(64, 48))
        assert found["bbox"] == XYWH[1]
        assert write("object-detection", ["person"], supervision.Detections.empty(), size=(64, 48)) == []

    def test_compact_masks(self, write: Any) -> None:
        supervision = pytest.importorskip("supervision")
        compact = pytest.importorskip("supervision.detection.compact_mask")
        pixels = np.zeros((2, 48, 64), bool)
        pixels[0, 6:16, 8:28] = pixels[1, 10:20, 40:60] = True
        masks = compact.CompactMask.from_dense(pixels, BOXES, (48, 64))
        detections = supervision.Detections(xyxy=BOXES, mask=masks, class_id=np.array([0, 0]))
        found = write("instance-segmentation", ["car"], detections)
        assert [p["segmentation"] for p in found] == [labelferry.encode(mask) for mask in pixels]

    def test_key_points(self, write: Any) -> None:
        supervision = pytest.importorskip("supervision")
        xy = np.float32([[(10, 11), (12, 30)]])
        fields = supervision.KeyPoints.__dataclass_fields__
        name = "keypoint_confidence" if "keypoint_confidence" in fields else "confidence"
        points = supervision.KeyPoints(xy=xy, class_id=np.array([0]), **{name: np.float32([(0.5, 1)])})
        (found,) = write("keypoint-detection", ["person"], points, size=(64, 48))
        assert found["keypoints"] == [10, 11, 0.5, 12, 30, 1]

    def test_classifications(self, write: Any) -> None:
        supervision = pytest.importorskip("supervision")
        classes = supervision.Classifications(class_id=np.array([1, 0]), confidence=np.array([0.75, 0.25]))
        (found,) = write("classification", ["cat", "dog"], classes)
        assert found == {"category_id": 1, "probabilities": [0.25, 0.75], "score": 0.75}


def test_annotations_are_taken_as_they_are(write: Any) -> None:
    annotations = labelferry.Annotations.from_objects([labelferry.Object(1, box=(1, 2, 3, 4), score=0.5)], (64, 48))
    (found,) = write("object-detection", ["a", "b"], annotations)
    assert found == {"category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}


def test_what_cannot_be_used_is_raised_or_left_out(tmp_path: Path, write: Any) -> None:
    columns = {"xyxy": [[1, 2, 3, np.nan], [1, 2, 9, 9]], "category_ids": [0, 0], "size": (64, 48)}
    with pytest.raises(labelferry.ExportError, match=r"a\.png, object 0: .* not finite"):
        write("object-detection", ["a"], **columns)
    assert not list(tmp_path.iterdir())
    (found,) = write("object-detection", ["a"], options={"on_error": "skip"}, **columns)
    assert found["bbox"] == [1, 2, 8, 7]
    assert [(error.code, error.count) for error in write.report.errors] == [("box-not-finite", 1)]
    for pixels, size in ((np.ones((1, 48, 64)), (32, 24)), (np.ones((1, 3, 3)), (64, 48))):
        with pytest.raises(labelferry.ExportError, match=r"mask|pixels"):
            write("instance-segmentation", ["a"], masks=pixels, size=size)
    with pytest.raises(labelferry.ExportError, match="are for"):
        write("object-detection", ["car"], results(boxes=ultralytics_boxes()), size=(1, 1))


def test_two_of_one_name(tmp_path: Path) -> None:
    with (
        pytest.raises(labelferry.ExportError, match="written already"),
        labelferry.open_task(tmp_path, "t", "object-detection", ["a"]) as task,
    ):
        task.write("sub/a.png", size=(1, 1))
        task.write("sub/a.jpg", size=(1, 1))


def test_published_at_the_end_and_not_otherwise(tmp_path: Path) -> None:
    predictions = tmp_path / ".lightly/predictions"

    def write_one(name: str, fail: bool) -> None:
        with labelferry.open_task(tmp_path, name, "object-detection", ["a"]) as task:
            task.write("a.png", size=(64, 48), xywh=[[1, 1, 2, 2]], category_ids=[0])
            assert not (predictions / "tasks.json").exists() or name not in (predictions / "tasks.json").read_text()
            if fail:
                raise KeyboardInterrupt

    write_one("good", fail=False)
    with pytest.raises(KeyboardInterrupt):
        write_one("bad", fail=True)
    assert json.loads((predictions / "tasks.json").read_text()) == ["good"]
    assert sorted(path.name for path in predictions.iterdir()) == ["good", "tasks.json"]
    with pytest.raises(labelferry.UsageError, match="exists"):
        write_one("good", fail=False)


def test_only_within_the_block_and_once(tmp_path: Path) -> None:
    task = labelferry.open_task(tmp_path, "t", "object-detection", ["a"])
    with pytest.raises(labelferry.UsageError, match="within the block"):
        task.write("a.png")
    with task:
        with pytest.raises(labelferry.UsageError, match="block has ended"):
            task.report  # noqa: B018
        task.write("a.png", size=(1, 1))
    assert task.report.images == 1
    with pytest.raises(labelferry.UsageError, match="opened once"):
        task.__enter__()


@pytest.mark.parametrize("arguments", [("no-task", ["a"]), ("object-detection", "a"), ("object-detection", [])])
def test_tasks_at_fault(tmp_path: Path, arguments: Any) -> None:
    with pytest.raises((labelferry.UsageError, labelferry.ExportError)):
        labelferry.open_task(tmp_path, "t", *arguments)


def documented_recipe(video: Path, name: str) -> dict[str, Any]:
    """The documentation's loop: every frame is decoded, made an image and predicted, then the files are named."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        predictions = [model(np.asarray(frame.to_image())) for frame in container.decode(stream)]
    digits = len(str(len(predictions)))
    path = Path(name)
    files = {}
    for index, boxes in enumerate(predictions):
        stem = f"{path.parent / path.stem}-{index:0{digits}d}-{path.suffix[1:]}"
        found = [{"category_id": 0, "bbox": box, "score": 0.5} for box in boxes]
        files[f"{stem}.json"] = {"file_name": f"{stem}.png", "predictions": found}
    return files


def model(pixels: Any) -> list[list[float]]:
    """Finds the blue-green car of the drawn videos by its pixels, in frames where there is one."""
    y, x = np.nonzero((pixels[..., 1] > pixels[..., 0] + 50) & (pixels[..., 1] > pixels[..., 2] + 40))
    return [[float(x.min()), float(y.min()), float(np.ptp(x)) + 1, float(np.ptp(y)) + 1]] if len(x) > 20 else []


def test_videos_against_the_documented_recipe(tmp_path: Path, fixtures: Path) -> None:
    videos = {
        "data/drive.mp4": fixtures / "cvat/videos/drive.mp4",
        "data/sub/two.MOV": fixtures / "cvat/project/videos/two.MOV",
    }
    expected = {}
    with labelferry.open_task(tmp_path, "t", "object-detection", ["car"]) as task:
        for name, path in videos.items():
            expected |= documented_recipe(path, name)
            with task.video(path, name=name) as video:
                for index, frame in video.frames():
                    if boxes := model(frame.to_ndarray(format="rgb24")):
                        video.write(index, xywh=boxes, scores=[0.5], category_ids=[0])
    assert sum(bool(file["predictions"]) for file in expected.values()) >= 10
    folder = tmp_path / ".lightly/predictions/t"
    found = {str(path.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob("data/**/*.json")}
    assert found == expected
    assert (task.report.videos, task.report.images) == (2, 16)


def test_names_of_videos(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (fixtures / "cvat/project/videos/two.MOV").read_bytes()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/two.MOV").write_bytes(source)
    monkeypatch.chdir(tmp_path)
    with labelferry.open_task("data", "t", "object-detection", ["car"]) as task:
        assert task.video("data/two.MOV").name == "two.MOV"  # below the datasource
    with labelferry.open_task("elsewhere", "t", "object-detection", ["car"]) as task:
        assert task.video("data/two.MOV").name == "data/two.MOV"
        with pytest.raises(labelferry.UsageError, match="name="):
            task.video(tmp_path / "data/two.MOV")
        video = task.video("data/two.MOV")
        assert (video.frame_count, video.size) == (4, (64, 48))
        with pytest.raises(labelferry.ExportError, match="it has 4 frames"):
            video.write(4)
        with pytest.raises(labelferry.UsageError, match="boxes: a frame takes"):
            video.write(0, boxes=[])
        with pytest.raises(labelferry.ExportError, match="not a video"):
            task.video(__file__, name="a.mp4")


def test_frames_of_a_classified_video(tmp_path: Path, fixtures: Path) -> None:
    """Frames without a class have no file, as images without one; they are listed."""
    with (
        pytest.warns(UserWarning, match=r"two\.MOV: frames without a class have no file: 0-1, 3"),
        labelferry.open_task(tmp_path, "t", "classification", ["day", "night"]) as task,
        task.video(fixtures / "cvat/project/videos/two.MOV", name="two.MOV") as video,
    ):
        video.write(2, probabilities=[0.25, 0.75])
    assert list(read_valid_task(tmp_path, "t")[1]) == ["two-2-MOV.png"]
    assert [(one.code, one.count) for one in task.report.notes] == [("frame-without-class", 3)]
    assert (task.report.found_images, task.report.images, task.report.lost_images) == (4, 1, 3)


def test_files_that_lightly_does_not_read_as_videos(tmp_path: Path) -> None:
    task = labelferry.open_task(tmp_path, "t", "object-detection", ["a"])
    for name in ("a.mkv", "b.TS", "c"):
        with pytest.raises(labelferry.ExportError, match=r"as a video, only \.avi, \.hevc, \.m4v, \.mov, \.mp4, "):
            task.video(name)


def test_predictions_are_checked_against_the_size_of_their_own_frame(tmp_path: Path) -> None:
    path = write_changing_video(tmp_path / "a.avi", "mjpeg", [(64, 48), (128, 96)])
    with labelferry.open_task(tmp_path, "t", "instance-segmentation", ["a"]) as task, task.video(path) as video:
        for index, frame in video.frames():
            mask = np.ones((1, frame.height, frame.width), bool)
            video.write(index, masks=mask)
        with pytest.raises(labelferry.ExportError, match=r"a-09-avi\.png.* 64 x 48 pixels, the image 128 x 96"):
            video.write(9, masks=np.ones((1, 48, 64), bool))
    found = read_valid_task(tmp_path, "t")[1]
    assert [p[0]["bbox"][2:] for p in found.values()] == [[64, 48]] * 5 + [[128, 96]] * 5


def test_frames_are_written_within_the_block_of_their_video(tmp_path: Path, fixtures: Path) -> None:
    path = fixtures / "cvat/project/videos/two.MOV"
    with labelferry.open_task(tmp_path, "t", "object-detection", ["a"]) as task:
        video = task.video(path, name="two.MOV")
        with pytest.raises(labelferry.UsageError, match=r"with task\.video"):
            video.write(0)
        with video:
            for index in (4, -1, 0.0, True, "0", None):
                with pytest.raises(labelferry.ExportError, match=r"two\.MOV: index: "):
                    video.write(index)  # type: ignore[arg-type]
            video.write(np.int64(0))
    assert task.report.images == 4


def test_a_video_whose_block_ends_with_an_exception(tmp_path: Path, fixtures: Path) -> None:
    def run() -> labelferry.TaskWriter:
        with (
            labelferry.open_task(tmp_path, "t", "object-detection", ["a"]) as task,
            pytest.raises(ZeroDivisionError),
            task.video(fixtures / "cvat/project/videos/two.MOV", name="two.MOV") as video,
        ):
            video.write(0)
            raise ZeroDivisionError
        return task

    with pytest.warns(UserWarning, match="ended with ZeroDivisionError; these frames have no file: 1-3"):
        task = run()
    assert [(one.code, one.count) for one in task.report.errors] == [("video-incomplete", 3)]
    assert (task.report.images, task.report.lost_images) == (1, 3)


def work(task: labelferry.TaskWriter, names: list[str], video: str = "") -> None:
    for name in names:
        task.write(name, size=(64, 48), xywh=[[1, 1, 2, 2]], category_ids=[0])
    if video:
        with task.video(video, name=Path(video).name) as writer:
            writer.write(1, xywh=[[1, 1, 2, 2]], category_ids=[0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_several_processes(tmp_path: Path, fixtures: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    context = multiprocessing.get_context(method)
    shards = [[f"{shard}/{i}.png" for i in range(25)] for shard in range(2)]
    videos = ["", str(fixtures / "cvat/project/videos/two.MOV")]
    with labelferry.open_task(tmp_path, "t", "object-detection", ["a"]) as task:
        with ProcessPoolExecutor(2, context) as pool:
            list(pool.map(work, [task, task], shards, videos))
        work(task, ["own.png"])
    assert (task.report.images, task.report.empty_images, task.report.videos) == (55, 3, 1)
    assert task.report.objects == {"a": 52}
    assert len(read_valid_task(tmp_path, "t")[1]) == 55


def test_the_same_image_in_two_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with (
        pytest.raises(labelferry.ExportError, match="written already"),
        labelferry.open_task(tmp_path / "d", "t", "object-detection", ["a"]) as task,
        ProcessPoolExecutor(1, context) as pool,
    ):
        work(task, ["a.png"])
        pool.submit(work, task, ["a.png"]).result()
    assert not (tmp_path / "d").exists()

"""The options of a conversion: checked, shown, and taken from keyword arguments."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import labelferry
from labelferry.plugin.adapter import make_adapter
from labelferry.plugin.registry import get_adapter
from labelferry.run.options import OPTION_NAMES, OPTIONS, Options


def test_options_are_imported_without_numpy() -> None:
    code = "import sys, labelferry.run.options; assert not {'numpy', 'msgspec'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"score": -0.1}, "score is a number from 0 to 1, not -0.1"),
        ({"score": float("nan")}, "score is a number from 0 to 1, not nan"),
        ({"score": "1"}, "score is a number from 0 to 1, not '1'"),
        ({"score": None}, "score is a number from 0 to 1, not None"),
        ({"first_frame": 2}, "first_frame is an integer from 0 to 1, not 2"),
        ({"first_frame": 0.5}, "first_frame is an integer from 0 to 1, not 0.5"),
        ({"frame_step": 0}, "frame_step is an integer of at least 1, not 0"),
        ({"frame_step": None}, "frame_step is an integer of at least 1, not None"),
        ({"workers": 0}, "workers is an integer of at least 1, not 0"),
        ({"on_error": "ignore"}, "on_error is 'fail' or 'skip', not 'ignore'"),
        ({"on_error": None}, "on_error is 'fail' or 'skip', not None"),
        ({"as_": "tracks"}, "as_ is 'images' or 'frames', not 'tracks'"),
        ({"task": "boxes"}, "there is no task type 'boxes'; Lightly has classification, object-detection"),
        ({"classes": "car,bus"}, "classes is a list of names, or new name by old name, not the text 'car,bus'"),
        ({"classes": []}, "--classes names no class"),
        ({"rename": ["car"]}, "rename is new name by old name, not ['car']"),
        ({"image_prefix": "https://host/a"}, "it is a path relative to the input datasource's root"),
        ({"image_prefix": "/data"}, "it is a path relative to the input datasource's root"),
        ({"image_prefix": "a/../.."}, "it is a path relative to the input datasource's root"),
        ({"strict": True, "on_error": "skip"}, "--strict counts repairs and warnings as errors"),
        ({"as_": "frames"}, "--as frames requires --videos"),
        ({"as_": "images", "videos": "clips"}, "--as images and --videos exclude each other"),
        ({"frames": "{video}_{frame}"}, "--frames, --first-frame and --frame-step require --videos"),
        ({"first_frame": 0}, "--frames, --first-frame and --frame-step require --videos"),
        ({"frame_step": 2}, "--frames, --first-frame and --frame-step require --videos"),
    ],
)
def test_values_that_are_wrong_or_contradict_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(labelferry.UsageError) as raised:
        Options(**values)
    assert message in str(raised.value)


def test_the_limits_are_allowed() -> None:
    for values in ({"score": 0}, {"score": 1}, {"workers": None}, {"workers": 1}, {"as_": "images"}):
        Options(**values)
    options = Options(videos=Path("clips"), as_="frames", first_frame=1, frame_step=1, frames="{video}_{frame}")
    assert options.as_frames
    assert not Options(as_="images").as_frames


def test_values_that_were_given_in_several_forms() -> None:
    assert Options().task_type() is None
    assert Options(task="object-detection").task_type() is labelferry.TaskType.OBJECT_DETECTION
    assert Options().new_names() == {}
    assert Options(classes={"car": "vehicle"}).new_names() == {"car": "vehicle"}
    assert Options(classes={"car": "vehicle"}, rename={"bus": "car"}).new_names() == {"car": "vehicle", "bus": "car"}
    assert Options(classes=iter(["car", "bus"])).classes == ("car", "bus")
    with pytest.raises(labelferry.UsageError, match="--rename makes 'a' 'b', and --classes makes it 'c'"):
        Options(classes={"a": "c"}, rename={"a": "b"}).new_names()


def test_the_formats_own_options_are_told_apart() -> None:
    options, own = Options.take({"score": 0.5, "split": "val", "format": "yolo"})
    assert options == Options(score=0.5, format="yolo")
    assert own == {"split": "val"}


def test_an_unknown_option_is_refused_with_a_suggestion(fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / "yolo/data.yaml"
    for wrong, right in (("spilt", "split"), ("task_nmae", "task_name"), ("worker", "workers")):
        with pytest.raises(labelferry.UsageError, match=f"no option '{wrong}'.*Did you mean '{right}'"):
            labelferry.convert(source, tmp_path, format="yolo", **{wrong: "x"})
    with pytest.raises(labelferry.UsageError, match=r"its options are: split, .*vid_stride$"):
        labelferry.convert(source, tmp_path, format="yolo", zzz="x")
    adapter = make_adapter(get_adapter("yolo"), source, {})
    with pytest.raises(labelferry.UsageError, match=r"takes its options when it is made\. Did you mean 'task'\?"):
        labelferry.convert(adapter, tmp_path, taks="object-detection")
    assert not any(tmp_path.iterdir())


def test_convert_shows_the_options_in_its_signature_and_its_docstring() -> None:
    signature = inspect.signature(labelferry.convert)
    names = list(signature.parameters)
    assert names == ["source", "datasource", *OPTION_NAMES, "executor", "progress", "options"]
    assert signature.parameters["score"].default == 1.0
    assert signature.parameters["first_frame"].annotation == int | None
    text = inspect.getdoc(labelferry.convert)
    assert text is not None
    described = re.findall(r"^    (\w+): ", text.partition("Args:\n")[2].partition("\n\n")[0], re.M)
    assert described == names
    assert "\n    first_frame: number of a video's first frame; by default the format's, 0 with `frames`.\n" in text
    assert max(map(len, text.splitlines())) <= 116


def test_help_texts_for_python_name_options_and_no_flags() -> None:
    for option in OPTIONS:
        assert "--" not in option.help
        assert option.help.endswith(".")
    assert [option.flag for option in OPTIONS if option.name in ("format", "as_", "on_error")] == [
        "--from",
        "--as",
        "--on-error",
    ]

"""Mirrored and turned videos: ffmpeg and OpenCV show them, PyAV gives their frames as stored."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from labelferry.video.display_matrix import ANGLE_UNKNOWN, opencv_orientation
from labelferry.video.frame_count import _count_decoded, count_frames
from tests.pictures import BOXES, STORED, box_of, drawn, set_matrix, turn_video, upright_of, write_picture_video

ORIENTATIONS = range(1, 9)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_picture_video(tmp_path / "clip.mp4", drawn(BOXES[0]))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("scale", [1 << 16, 1 << 15])
def test_a_display_matrix_is_one_of_the_eight_orientations(video: Path, orientation: int, scale: int) -> None:
    turn_video(video, orientation, scale)
    for count in (count_frames(video), _count_decoded(video)):
        assert (count.orientation, count.width, count.height, count.frames) == (orientation, *STORED, 3)
    with av.open(str(video)) as container:
        frame = next(container.decode(video=0))
        assert box_of(frame.to_ndarray(format="gray")) == BOXES[0], "PyAV gives pixels as stored"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_ffmpeg_shows_the_upright_picture_of_this_orientation(video: Path, orientation: int, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg")
    turn_video(video, orientation)
    shown = tmp_path / "shown.png"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(video), "-frames:v", "1", str(shown)], check=True)
    picture: Any = cv2.imread(str(shown), cv2.IMREAD_GRAYSCALE)
    upright = upright_of(drawn(BOXES[0]), orientation)
    assert picture.shape == upright.shape
    assert box_of(picture) == box_of(upright)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_opencv_turns_frames_and_does_not_mirror_them(video: Path, orientation: int) -> None:
    turn_video(video, orientation)
    capture = cv2.VideoCapture(str(video))
    is_read, frame = capture.read()
    assert is_read
    upright = upright_of(drawn(BOXES[0]), opencv_orientation(orientation))
    assert frame.shape[:2] == upright.shape
    assert box_of(frame[..., 0]) == box_of(upright)


def test_another_angle_is_not_one_of_them(video: Path) -> None:
    half = int((1 << 16) * np.sqrt(0.5))
    set_matrix(video, (half, half, 0, -half, half, 0, 0, 0, 1 << 30))
    assert count_frames(video).orientation == ANGLE_UNKNOWN
    almost = int((1 << 16) * 0.002)
    set_matrix(video, (almost, 1 << 16, 0, -(1 << 16), almost, 0, 0, 0, 1 << 30))
    assert count_frames(video).orientation == 6


def test_a_video_without_a_matrix_is_upright(tmp_path: Path) -> None:
    for name in ("a.mkv", "b.avi", "c.mpg"):
        path = tmp_path / name
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x48:d=0.2", str(path)]
        if shutil.which("ffmpeg") is None or subprocess.run(command, check=False).returncode:
            pytest.skip("no ffmpeg")
        assert count_frames(path).orientation == 1

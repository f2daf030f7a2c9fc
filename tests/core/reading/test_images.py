"""Label maps as they are stored: Pillow's own conversion to arrays as judge."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelferry import ExportError
from labelferry.reading.images import MAX_IMAGE_PIXELS, find_files, packed_colour, read_label_map
from tests.limits import run_limited

RANDOM = np.random.default_rng(0)
MAX = 89_478_485
"""The documented limit of pixels."""


def random(*shape: int, high: int = 256, dtype: type = np.uint8) -> np.ndarray[Any, Any]:
    return RANDOM.integers(0, high, shape).astype(dtype)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (37, 53), (64, 16)])
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (1, np.uint16), (3, np.uint8), (4, np.uint8)])
def test_values_and_packed_colours_are_those_of_the_file(
    size: tuple[int, int], channels: int, dtype: type, tmp_path: Path
) -> None:
    stored = random(*size, high=60_000, dtype=dtype) if channels == 1 else random(*size, channels)
    Image.fromarray(stored).save(tmp_path / "a.png")
    values, are_colours = read_label_map(tmp_path / "a.png")
    assert are_colours == (channels > 1)
    expected = stored.astype(np.int64) if channels == 1 else stored[..., :3] @ np.array([1, 256, 65536])
    assert np.array_equal(values, expected)


def test_an_image_in_several_blocks_of_memory(tmp_path: Path) -> None:
    stored = random(4200, 4100, high=3)  # Pillow's blocks have 16 MiB
    Image.fromarray(stored).save(tmp_path / "a.png", compress_level=1)
    assert np.array_equal(read_label_map(tmp_path / "a.png").values, stored)


def test_values_outlive_the_image_that_they_are_of(tmp_path: Path) -> None:
    maps, stored = [], []
    for i in range(20):
        stored.append(random(200, 300))
        Image.fromarray(stored[-1]).save(tmp_path / f"{i}.png", compress_level=1)
        maps.append(read_label_map(tmp_path / f"{i}.png").values)
    assert all(np.array_equal(a, b) for a, b in zip(maps, stored, strict=True))


def test_palettes_bits_16_bits_and_alpha(tmp_path: Path) -> None:
    indices = random(5, 7, high=4)
    image = Image.fromarray(indices)
    image.putpalette([9, 9, 9, 8, 8, 8, 7, 7, 7, 6, 6, 6])
    image.save(tmp_path / "palette.png")
    assert np.array_equal(read_label_map(tmp_path / "palette.png").values, indices)
    Image.fromarray(indices > 1).save(tmp_path / "bits.png")
    assert np.array_equal(read_label_map(tmp_path / "bits.png").values, indices > 1)
    assert read_label_map(tmp_path / "bits.png").values.dtype == np.uint8
    deep = random(5, 7, high=65536, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    assert np.array_equal(read_label_map(tmp_path / "deep.png").values, deep)
    assert np.array_equal(read_label_map(tmp_path / "deep.tif").values, deep)
    Image.merge("LA", [Image.fromarray(indices), Image.new("L", (7, 5), 3)]).save(tmp_path / "alpha.png")
    assert np.array_equal(read_label_map(tmp_path / "alpha.png").values, indices)


def test_what_does_not_keep_values_is_refused(tmp_path: Path) -> None:
    image = Image.fromarray(random(16, 16, 3))
    image.save(tmp_path / "a.jpg")
    image.save(tmp_path / "a.webp")
    image.save(tmp_path / "a.tif", compression="jpeg")
    image.convert("CMYK").save(tmp_path / "cmyk.tif")
    Image.fromarray(random(4, 4).astype(np.float32)).save(tmp_path / "float.tif")
    for name in ("a.jpg", "a.webp", "a.tif", "cmyk.tif", "float.tif"):
        with pytest.raises(ExportError) as caught:
            read_label_map(tmp_path / name)
        assert caught.value.where.endswith(name)


def read_codes(folder: Path) -> list[str]:
    """The shape of each label map, or its error."""
    found = []
    for width, height in ((MAX, 1), (MAX + 1, 1), (13_000, 13_000), (100_000, 100_000)):
        write_zeros(folder / "a.png", width, height)
        try:
            found.append(str(read_label_map(folder / "a.png").values.shape))
        except ExportError as error:
            found.append(error.code)
    return found


def test_an_image_of_more_pixels_than_are_decoded_is_refused(tmp_path: Path) -> None:
    assert MAX_IMAGE_PIXELS == MAX
    assert run_limited(read_codes, tmp_path) == [f"(1, {MAX})", *["mask-too-large"] * 3]


def write_zeros(path: Path, width: int, height: int) -> None:
    """A grey PNG of zeros; of the largest only the first megabytes, as it is refused by its header."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = bytes(min((width + 1) * height, 200_000_000))  # each row begins with its filter
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels, 1)) + chunk(b"IEND", b""))


def test_a_packed_colour_is_as_coco_panoptic_writes_ids() -> None:
    assert packed_colour((1, 2, 3)) == 1 + 2 * 256 + 3 * 65536


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.PNG").touch()
    (tmp_path / "data/.hidden").mkdir(parents=True)
    (tmp_path / "data/.hidden/c.png").touch()
    (tmp_path / "data/a.png").touch()
    (tmp_path / "data/notes.txt").touch()
    (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "data")
    assert list(find_files(tmp_path / "data", frozenset((".png",)))) == ["a.png", "link/b.PNG"]

"""Sizes and EXIF orientations of image files: Pillow is the judge."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from labelferry import ExportError
from labelferry.reading.headers import Header, exif_orientation, read_header

SIZE = (37, 23)
PIXELS = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3)).astype(np.uint8))


def tiff(order: str, *entries: tuple[int, int, int, bytes], gap: int = 0) -> bytes:
    """An EXIF structure with these entries (tag, type, count, value), in the byte order `<` or `>`."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + gap) + bytes(gap)
    rows = (struct.pack(f"{order}HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    return head + struct.pack(f"{order}H", len(entries)) + b"".join(rows) + bytes(4)


def oriented(order: str, orientation: int, gap: int = 0) -> bytes:
    """The EXIF of a camera: a tag before the orientation, and one after it."""
    return tiff(
        order,
        (0x0100, 4, 1, struct.pack(f"{order}I", 0x0112)),
        (0x0112, 3, 1, struct.pack(f"{order}H", orientation)),
        (0x0128, 3, 1, struct.pack(f"{order}H", 2)),
        gap=gap,
    )


def of_pillow(path: Path) -> Header:
    with Image.open(path) as image:
        orientation = image.getexif().get(0x0112, 1)
        return Header(image.size, orientation if 1 <= orientation <= 8 else 1)


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG with these segments (marker, content) at its beginning."""
    buffer = io.BytesIO()
    PIXELS.save(buffer, "JPEG")
    plain = buffer.getvalue()
    made = b"".join(bytes((0xFF, marker)) + struct.pack(">H", len(text) + 2) + text for marker, text in segments)
    return plain[:2] + made + plain[2:]


def png(exif: bytes, is_last: bool, idat: int | None = None) -> bytes:
    """A PNG with EXIF before or after its pixels, which are in chunks of `idat` bytes."""
    import zlib

    def chunk(kind: bytes, text: bytes) -> bytes:
        return struct.pack(">I", len(text)) + kind + text + struct.pack(">I", zlib.crc32(kind + text))

    rows = np.random.default_rng(1).integers(0, 256, (SIZE[1], SIZE[0] * 3 + 1)).astype(np.uint8)
    rows[:, 0] = 0
    pixels = zlib.compress(rows.tobytes())
    step = idat or len(pixels)
    parts = [chunk(b"IDAT", pixels[i : i + step]) for i in range(0, len(pixels), step)]
    own = [chunk(b"eXIf", exif)]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *SIZE, 8, 2, 0, 0, 0))
    text = chunk(b"tEXt", b"Comment\0eXIf")
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [header, text, *([] if is_last else own), *parts, *(own if is_last else []), end]
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(10))
def test_the_header_of_a_jpeg_is_what_pillow_reads(orientation: int, order: str, tmp_path: Path) -> None:
    exif = b"Exif\0\0" + oriented(order, orientation)
    far = b"Exif\0\0" + oriented(order, orientation, gap=5000)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x/>"
    files = {
        "first": jpeg((0xE1, exif)),
        "after jfif": jpeg((0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"), (0xE1, exif)),
        "after xmp": jpeg((0xE1, xmp), (0xE1, exif)),
        "after a comment beyond the first bytes": jpeg((0xFE, bytes(7000)), (0xE1, exif)),
        "with a directory beyond the first bytes": jpeg((0xE1, far)),
        "with other exif after it": jpeg((0xE1, exif), (0xE1, b"Exif\0\0" + oriented(order, 4))),
        "with a thumbnail": jpeg((0xE1, exif + bytes(30_000))),
    }
    for name, content in files.items():
        path = tmp_path / "a.jpg"
        path.write_bytes(content)
        expected = of_pillow(path)
        assert expected == Header(SIZE, orientation if 1 <= orientation <= 8 else 1), name
        assert read_header(path) == expected, name


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("is_last", [False, True])
def test_the_header_of_a_png_is_what_pillow_reads(orientation: int, is_last: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for idat in (None, 100, 8, 1):
        for exif in (oriented(">", orientation), oriented("<", orientation, gap=9000)):
            path.write_bytes(png(exif, is_last, idat))
            assert of_pillow(path) == Header(SIZE, orientation)
            assert read_header(path) == Header(SIZE, orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_headers_of_other_formats_are_what_pillow_reads(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name, options in {
        "lossy.webp": {},
        "lossless.webp": {"lossless": True},
        "a.avif": {},
    }.items():
        path = tmp_path / name
        if path.suffix in Image.registered_extensions():
            PIXELS.save(path, exif=exif, **options)
            assert read_header(path) == of_pillow(path) == Header(SIZE, orientation)
    for name in ("plain.webp", "a.gif", "a.bmp", "a.ppm"):
        PIXELS.save(tmp_path / name)
        assert read_header(tmp_path / name) == Header(SIZE, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pillow_turns_a_tiff_when_it_reads_it_so_that_its_stored_pixels_are_upright(
    orientation: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    PIXELS.save(path, tiffinfo={0x0112: orientation})
    with Image.open(path) as image:
        image.load()
        assert read_header(path) == Header(image.size, 1)
        assert image.size == (SIZE if orientation < 5 else SIZE[::-1])


FIELDS = st.tuples(
    st.sampled_from([0x0112, 0x0100, 0x1201, 0x0111]),
    st.sampled_from([3, 4, 8, 9]),
    st.integers(1, 1),
    st.binary(max_size=4),
)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@given(st.sampled_from("<>"), st.lists(FIELDS, max_size=4), st.integers(0, 3), st.integers(0, 80))
@example("<", [(0x0112, 3, 1, b"\6\0"), (0x0112, 3, 1, b"\3\0")], 0, 80)
def test_the_orientation_of_any_exif_is_what_pillow_reads(
    order: str, entries: list[tuple[int, int, int, bytes]], gap: int, length: int
) -> None:
    exif = tiff(order, *entries, gap=gap)[:length]
    pillow = Image.Exif()
    if len(exif) >= 8:
        pillow.load(exif)
    given = pillow.get(0x0112, 1)
    assert exif_orientation(exif) == (given if 1 <= given <= 8 else 1)


@given(st.binary(max_size=200))
def test_any_bytes_have_an_orientation(exif: bytes) -> None:
    assert exif_orientation(exif) in range(1, 9)
    assert exif_orientation(b"II*\0" + exif) in range(1, 9)


def test_a_truncated_jpeg_has_the_size_that_it_gives_and_anything_else_is_an_error(tmp_path: Path) -> None:
    whole = jpeg((0xE1, b"Exif\0\0" + oriented("<", 6)))
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[: whole.index(b"\xff\xc4")])
    assert read_header(path) == Header(SIZE, 6)
    path.write_bytes(whole[:40])
    with pytest.raises(ExportError) as raised:
        read_header(path)
    assert raised.value.code == "image-broken"
    with pytest.raises(ExportError) as raised:
        read_header(tmp_path / "missing.jpg")
    assert raised.value.code == "image-missing"

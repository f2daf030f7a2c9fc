"""Every fixture, damaged at random: whatever happens to a file, it is an error with a place, never a traceback."""

from __future__ import annotations

import random
import shutil

import pytest

import labelferry
from tests.conformance.fixture_exports import EXPORTS
from tests.conformance.mutations import in_memory

ATTEMPTS = 15
"""Damages of each export."""


def damage(content: bytes, dice: random.Random) -> bytes:
    at, other = dice.randrange(len(content) + 1), dice.randrange(len(content) + 1)
    return dice.choice(
        [
            lambda: content[:at],
            lambda: content[:at] + dice.randbytes(3) + content[at + 3 :],
            lambda: content[:at] + b"\0" + content[at:],
            lambda: content[: min(at, other)] + content[max(at, other) :],
            lambda: content.replace(
                b"1", dice.choice([b"-1", b"1e999", b"NaN", b'"', b"99999999999999999999", b"\xff"])
            ),
            lambda: content[:at] + dice.choice([b"<", b"{", b"[", b",", b"\n", b":", b"&a;", b"*x"]) + content[at:],
            lambda: b"",
        ]
    )()


@pytest.mark.parametrize("name", EXPORTS)
def test_a_damaged_export_never_ends_in_a_traceback(name: str) -> None:
    dice = random.Random(name)
    with in_memory() as folder:
        source, options = EXPORTS[name].copy(folder / "export")
        files = sorted(path for path in (folder / "export").rglob("*") if path.is_file())
        for _ in range(ATTEMPTS):
            victim = dice.choice(files)
            content = victim.read_bytes()
            victim.write_bytes(damage(content, dice))
            try:
                findings = labelferry.convert(source, folder / "out", **options).errors
            except labelferry.ConversionError as error:
                findings = error.report.errors
            except labelferry.LabelferryError:
                findings = []
            for finding in findings:
                assert finding.code != "adapter-failed", (victim, finding.examples)
                assert all(where and message for where, message in finding.examples), finding
            victim.write_bytes(content)
            shutil.rmtree(folder / "out", ignore_errors=True)

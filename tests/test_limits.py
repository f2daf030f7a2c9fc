"""The helper that runs functions under a memory limit."""

from __future__ import annotations

import os

import pytest

from tests.limits import run_limited


def allocate(gigabytes: int) -> int:
    return len(bytearray(gigabytes * 2**30))


def test_a_function_within_its_limit_gives_its_result() -> None:
    assert run_limited(allocate, 1) == 2**30


def test_an_allocation_beyond_the_limit_fails() -> None:
    with pytest.raises(MemoryError):
        run_limited(allocate, 5)


def test_a_process_that_is_killed_is_an_error() -> None:
    with pytest.raises(EOFError):
        run_limited(os._exit, 3)

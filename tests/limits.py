"""Functions that run under a memory limit, so that a regression fails instead of exhausting the machine."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_limited(function: Callable[..., Result], *arguments: Any, gigabytes: float = 4, seconds: float = 120) -> Result:
    """What a function of a test module returns, or raises, in a process of its own.

    Args:
        function: at the top of a module; its arguments and its result can be pickled.
        arguments: its positional arguments.
        gigabytes: of address space for the process (RLIMIT_AS); an allocation beyond is a MemoryError.
        seconds: after which the process is killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would begin with the memory of this process
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(there, int(gigabytes * 2**30), function, arguments))
    process.start()
    there.close()
    try:
        assert here.poll(seconds), f"{function.__name__} did not end within {seconds} seconds"
        is_result, outcome = here.recv()  # EOFError: the process was killed
    finally:
        process.kill()
        process.join()
    if is_result:
        result: Result = outcome
        return result
    raise outcome


def _call(there: Connection, limit: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        outcome = True, function(*arguments)
    except BaseException as error:
        outcome = False, error
    there.send(outcome)

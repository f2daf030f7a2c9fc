"""Where chunks are converted: in this process, in worker processes that end with it, or by any executor."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait

from labelferry.errors import LabelferryError
from labelferry.plugin.registry import load_file, loaded_files
from labelferry.report import Tally
from labelferry.run.job import Chunk, Job

POOL_AFTER = 1.0
"""Seconds of work in this process before worker processes, which take a moment to start, are worth it."""

KILLED = "a worker process was killed, perhaps because memory ran out; run again with fewer --workers"


@contextmanager
def worker_pool(workers: int, module: str) -> Iterator[ProcessPoolExecutor]:
    """A pool of worker processes.

    They are not forked from this process, which may hold gigabytes and threads, but from a small server where the
    platform has one.

    Args:
        workers: how many.
        module: the adapter's module, imported once for all workers.

    Raises:
        LabelferryError: a worker was killed.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["labelferry.run.job", "numpy", module])
    pool = ProcessPoolExecutor(workers, context, _begin, (loaded_files(),))
    try:
        yield pool
    except BrokenProcessPool:
        raise LabelferryError(KILLED) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(files: dict[str, str]) -> None:
    """Leave Ctrl-C to the parent, and end when it ends, even if it is killed; load adapters that are in files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module, path in files.items():
        load_file(module, path)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def results(job: Job, chunks: Iterator[Chunk], workers: int | None, executor: Executor | None) -> Iterator[Tally]:
    """The result of every chunk, in order.

    Args:
        job: what is done with each.
        chunks: taken from as fast as they are converted, so that memory stays flat.
        workers: processes to use; 1 works in this one, None decides by how long it takes.
        executor: used instead, if given.
    """
    if executor is not None:
        yield from _from_executor(job, chunks, executor, 64)
        return
    if workers is None:
        workers = os.cpu_count() or 1
        begun = time.monotonic()
        for chunk in chunks:
            yield job(chunk)
            if workers > 1 and time.monotonic() - begun > POOL_AFTER:
                break
        else:
            return
    if workers == 1:
        yield from map(job, chunks)
        return
    with worker_pool(workers, type(job.export).__module__) as pool:
        yield from _from_executor(job, chunks, pool, 4 * workers)


def _from_executor(job: Job, chunks: Iterator[Chunk], executor: Executor, ahead: int) -> Iterator[Tally]:
    """With at most `ahead` chunks under way."""
    waiting: deque[Future[Tally]] = deque()
    for chunk in chunks:
        waiting.append(executor.submit(job, chunk))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()

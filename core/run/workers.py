"""Worker processes that end with the process that started them. Apart from the pipeline, as few runs need them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait

from labelferry.errors import LabelferryError
from labelferry.plugin.registry import load_file, loaded_files

KILLED = "a worker process was killed, perhaps for want of memory; run again with fewer --workers"


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
        context.set_forkserver_preload(["labelferry.run.pipeline", "numpy", module])
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

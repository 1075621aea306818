"""Chunks of a long run on the workers of a dask scheduler, on as many machines as there are.

    dask scheduler                       on one machine
    dask worker tcp://host:8786          on each, in the root of this repository at the same revision
    python -m sim.run ... --input text --scheduler tcp://host:8786

A chunk is a task whose result depends on its own job alone: where a worker dies, another one runs its chunks again, and
whoever comes second changes nothing. The network is the result of a task as well, so it cannot be lost with a worker.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from sim.long_run import Record
from sim.text import Text
from sim.text_core import Chunk, TextCore
from sim.verilate import SimulationError

PATIENCE = 15  #: seconds for scheduler and first worker to answer
AHEAD = 2  #: chunks that are handed out for each thread of a worker
LARGE = "distributed.admin.large-graph-warning-threshold"

_cores: dict[str, TextCore] = {}  #: of this process, when it is a worker
_lock = threading.Lock()


def _network(packed: bytes) -> bytes:
    """Return what every chunk's task is given; a task of its own, so that it is there again when a worker is lost."""
    return packed


def _run_chunk(packed: bytes, name: str, chunk: Chunk) -> Record:
    """Run a chunk on a worker, on the core of ``packed``, whose compiled model must be the one of this name.

    Raises
    ------
    SimulationError
        If this machine makes another model of it, or the chunk cannot be run.
    """
    with _lock:
        core = _cores.get(name)
        if core is None:
            core = TextCore(*pickle.loads(zlib.decompress(packed)))
            if (mine := core.build()) != name:
                raise SimulationError(
                    f"a worker compiles core {mine} where {name} is wanted; bring sources and tools of all machines to "
                    "the same revision, and start the workers again"
                )
            _cores.clear()  # of other runs, which are over
            _cores[name] = core
    return core.run(chunk)


async def _ask(address: str) -> None:
    """Raise OSError, TimeoutError or ValueError if nothing answers there in the way of dask; a client would wait."""
    from distributed.comm import connect

    comm = await asyncio.wait_for(connect(address, timeout=PATIENCE), PATIENCE)
    await comm.close()


def run_there(
    address: str,
    text: Text,
    core: TextCore,
    chunks: Iterator[Chunk],
    keep: Callable[[Record], None],
    *,
    begin: Callable[[], None],
) -> None:
    """Run chunks on the workers of a scheduler; ``begin`` is called when they answer, ``keep`` with each record.

    Raises
    ------
    ValueError
        If dask is not installed, or no scheduler or no worker answers.
    SimulationError
        If a chunk cannot be run, or the scheduler goes away.
    """
    try:
        import dask
        from distributed import Client, as_completed
    except ImportError:
        raise ValueError("--scheduler needs dask; install it with pip install -e .[distributed]") from None
    name, packed = core.build(), zlib.compress(pickle.dumps((core.network, text.activity, core.setup)), 1)
    try:
        asyncio.run(_ask(address))
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError):
        raise ValueError(
            f"no scheduler answers at {address}; start one with dask scheduler, or correct --scheduler"
        ) from None
    with client, dask.config.set({LARGE: "1GB"}):
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError):
            raise ValueError(
                f"the scheduler at {address} has no worker; start some with dask worker {address}"
            ) from None
        begin()
        network = client.submit(_network, packed, pure=False)
        handed_out = as_completed(loop=client.loop)

        def hand_out(count: int) -> None:
            for chunk in islice(chunks, count):
                key = f"egret-{name}-{network.key}-{chunk.sequence}-{chunk.number}"
                handed_out.add(client.submit(_run_chunk, network, name, chunk, key=key))

        hand_out(AHEAD * sum(client.nthreads().values()))
        for future in handed_out:
            keep(_result_of(future, address))
            hand_out(1)


def _result_of(future: Any, address: str) -> Record:
    """Return a task's record.

    Raises
    ------
    SimulationError
        Saying what became of it.
    """
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except SimulationError:
        raise
    except KilledWorker:
        raise SimulationError(
            f"workers of {address} died one after the other with the same chunk; read their logs, and give --resume"
        ) from None
    except (CancelledError, OSError):
        raise SimulationError(f"the scheduler at {address} went away; start it again and go on with --resume") from None
    except Exception as error:
        raise SimulationError(f"a worker of {address} failed: {type(error).__name__}: {error}") from None

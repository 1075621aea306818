"""Where no path of gates leads, so that components can be put together without loops.

A ``valid`` that hung on its own ``ready`` would wait for it (rule 3 in :mod:`formal.streams`); and some components
promise more.
"""

from formal.bench import SMALL
from formal.proof import Paths
from hw.broadcast import Broadcaster
from hw.bus.axi4lite import Axi4Lite
from hw.bus.axi4stream import EventInput, EventOutput
from hw.cell_group import CellGroup
from hw.input_decoder import InputDecoder
from hw.output import Output
from hw.queue import Queue

READY = (("o__ready", "o__valid"), ("o__ready", "o__payload"))

PROOFS = [
    Paths(
        "queue: outputs from registers",
        lambda: Queue(shape=2, depth=4),
        absent=(("*", "o__valid"), ("*", "o__payload"), ("*", "i__ready")),
        present=(),
    ),
    Paths(
        "AXI4-Lite: bus from registers",
        Axi4Lite,
        absent=tuple(("*", f"{name}__ready") for name in ("aw", "w", "ar"))
        + tuple(("*", f"{name}__{part}") for name in ("b", "r") for part in ("valid", "payload")),
        present=(("registers__write_ok", "refused"),),
    ),
    Paths("event input: no waiting for ready", lambda: EventInput(SMALL), READY, present=(("o__ready", "i__ready"),)),
    Paths(
        "event output: bus from registers",
        EventOutput,
        absent=(("*", "o__valid"), ("*", "o__payload")),
        present=(("o__ready", "i__ready"), ("reset", "i__ready")),
    ),
    Paths(
        "input decoder: ready from registers",
        lambda: InputDecoder(SMALL),
        absent=(*READY, ("*", "i__ready")),
        present=(("bank", "o__payload"), ("loaded", "o__valid")),
    ),
    Paths(
        "broadcaster: events and room in registers",
        lambda: Broadcaster(SMALL),
        absent=(("output_ready", "*"), ("lanes_ready", "*"), ("*", "valid"), ("*", "event")),
        present=(("results__0__payload", "results__0__ready"), ("results__0__valid", "output_valid")),
    ),
    Paths("output: no waiting for ready", lambda: Output(SMALL), READY, present=(("o__ready", "i__ready"),)),
    Paths(
        "cell unit: everything from registers",
        lambda: CellGroup(SMALL, 0),
        absent=(("*", "*"),),
        present=(),
    ),
]

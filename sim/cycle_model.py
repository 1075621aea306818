"""Predict the cycles and bytes of a core from recorded activity, without any value.

    model = CycleModel(config, compiled, memory=DDR3_800, core_mhz=100)
    prediction = model.predict(record(compiled.network, sequences))

    python -m sim.cycle_model --help

The simulation itself is ``sim/harness/cycles.h``, compiled when first used; ``docs/cycle-model.md`` says what it leaves
out, and how far it is from the RTL.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from time import process_time

import numpy as np
from numpy.typing import NDArray

from golden.fanout import Compiled
from golden.image import unpack_entries
from golden.streamed import CompiledStream
from hw.cell_egru import stages
from hw.config import CoreConfig
from sim.cycles.activity import Activity, record
from sim.cycles.library import GROUPS_MAX, NETWORK, REST, STEP, TOTAL_COUNT, TOTALS, build
from sim.memories import IDEAL, ExternalMemory, pack
from sim.memory_model import Counts

__all__ = ["MODES", "Activity", "CycleModel", "Prediction", "record"]

MODES = ("stream", "stepwise")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a core is predicted to do. Cycles count from the end of loading, as in :class:`sim.simulator.RunResult`.

    steps : structured (steps,)
        ``first_input``, ``last_input``, ``output``: the cycle in which each was taken; ``beats`` of 128 bits that the
        step's events read; ``outputs``, beats of the output.
    cycles : int
        Until nothing is under way any more.
    totals : dict
        ``beats`` sent to lanes; cycles in which one was ``held`` as its lane had no room, or none had come
        (``starved``); ``events``, ``updates`` of units; lane-cycles with a slot walked (``slots``), lost
        for ``hazards`` and ``drains``.
    split : dict
        Where the cycles went, each one counted once: lists of each group (``inputs``, ``layer 0``, ...), of the
        last layer those of the readout, too; then, with none at hand, waiting for ``memory``, for the ``lookup``, for
        lanes to walk what they have (``tail``), for ``cells``, for the ``output``; the ``rest`` is input, markers, and
        starts of jobs. With lists on chip a cycle belongs to the list that a lane took last, while any lane walks.
    memory : dict
        As :class:`sim.memory_model.Counts`.
    seconds : float
        Processor time of the prediction.
    """

    steps: NDArray[np.void]
    cycles: int
    totals: dict[str, int]
    split: dict[str, int]
    memory: dict[str, int]
    seconds: float

    @property
    def periods(self) -> NDArray[np.int64]:
        """Cycles from output to output, int64 (steps,); of the first step from cycle 0."""
        return np.diff(self.steps["output"], prepend=0)


class CycleModel:
    """The cycle model of a network on a core.

    Parameters
    ----------
    config : CoreConfig
        Not a compact core.
    compiled : Compiled or CompiledStream
        For that configuration.
    memory : IdealMemory or DramMemory
        Of a core with lists in external memory.
    core_mhz : float
        Clock of the core, beside which that of the memory runs.

    Raises
    ------
    ValueError
        If the core is compact, or the network not compiled for lists where the core has them.
    """

    def __init__(
        self,
        config: CoreConfig,
        compiled: Compiled | CompiledStream,
        *,
        memory: ExternalMemory = IDEAL,
        core_mhz: float = 100.0,
    ):
        if config.compact:
            raise ValueError("config.compact is True; there is no cycle model of compact cores")
        if isinstance(compiled, CompiledStream) != config.streamed:
            raise ValueError(
                f"compiled is a {type(compiled).__name__}; the core's lists are "
                f"{'in' if config.streamed else 'not in'} external memory"
            )
        self.config, self.compiled = config, compiled
        self._memory = pack(memory, core_mhz=core_mhz, data_bits=config.port_bits)
        self._arrays = self._network_arrays()

    def _network_arrays(self) -> dict[str, NDArray]:
        """Return the arrays of ``CycleNetwork``; those of lists that are elsewhere are empty."""
        compiled, lanes = self.compiled, self.config.lanes
        placement, network = compiled.placement, compiled.network
        unit_at = np.full((lanes, placement.row_count), -1, np.int32)
        first = network.inputs
        for number, layer in enumerate(network.layers):
            unit_at[placement.lane[number], placement.row[number]] = first + np.arange(layer.units)
            first += layer.units
        if network.readout is not None:  # how many outputs a row has
            unit_at[:, placement.base[-1] :] = 0
            np.add.at(unit_at, (placement.lane[-1], placement.row[-1]), 1)
        arrays = {name: np.zeros(0, np.int64) for name in NETWORK}
        arrays |= {
            "layer_base": np.array(placement.base, np.int32), "layer_rows": np.array(placement.rows, np.int32),
            "unit_at": unit_at,
        }  # fmt: skip
        if isinstance(compiled, CompiledStream):
            lists = compiled.lists
            arrays |= {"beats": lists.beats, "first": lists.first, "count": lists.count}
        else:
            image = compiled.image
            targets = []
            for entries in image.entries:
                _, gate, row = unpack_entries(entries)
                targets.append(row << 2 | gate)
            arrays |= {
                "start": image.start.astype(np.uint32), "forward": image.forward.astype(np.uint32),
                "whole": image.count.astype(np.uint32),
                "entries": np.concatenate([*targets, np.zeros(4, np.int64)]).astype(np.uint32),
                "entries_of": np.cumsum([0, *map(len, targets[:-1])]).astype(np.int64),
            }  # fmt: skip
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def _parameters(self, steps: int, mode: str) -> NDArray[np.int64]:
        """Return the numbers of ``CycleParameters``."""
        config, network, placement = self.config, self.compiled.network, self.compiled.placement
        core = (
            config.lanes, config.cell_units, config.queue_depth, config.rows, config.hops, config.split_banks,
            config.forwarding, config.streamed, config.port_bits, config.counters,
            stages(config).latency,
        )  # fmt: skip
        beats, dense, size = (0, 0, 0, 0), (0, 0, 0), 0
        if isinstance(self.compiled, CompiledStream):
            lists = self.compiled.lists
            form, size = lists.format, lists.beats.nbytes
            beats = (form.weight_bits, form.gap_bits, form.lane_bits, form.row_bits)
            dense = (form.dense_inputs, form.dense_readout, lists.readout_base)
        return np.array(
            [
                *core, *beats, len(placement.rows), network.readout is not None, network.inputs, network.source_count,
                *dense, placement.row_count, size, len(self.compiled.words), mode == "stepwise", steps,
            ],
            np.int64,
        )  # fmt: skip

    def predict(self, activity: Activity, *, mode: str = "stream", argmax_only: bool = False) -> Prediction:
        """Return what the core does with an activity, from the state after loading.

        Parameters
        ----------
        mode : "stream" or "stepwise"
            Input as early as the core takes it, or each step's after the output of the step before was taken.
        argmax_only : bool
            Only the largest output of a step is sent. As the output is taken at once, that changes no cycle.

        Raises
        ------
        ValueError
            If the activity is not of this network, or ``mode`` is neither.
        CompilerError
            If there is no C++ compiler.
        """
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(MODES)}")
        groups = 1 + len(self.compiled.network.layers)
        if len(activity.offsets) != activity.steps * groups + 1:
            raise ValueError(
                f"the activity has {len(activity.offsets) - 1} groups of events; {activity.steps} steps of this "
                f"network have {activity.steps * groups}"
            )
        library = build()
        parameters = self._parameters(activity.steps, mode)
        network = (ctypes.c_void_p * len(NETWORK))(*(self._arrays[name].ctypes.data for name in NETWORK))
        offsets, sources = np.ascontiguousarray(activity.offsets), np.ascontiguousarray(activity.sources)
        ending = activity.ending.astype(np.uint8)
        pointers = (ctypes.c_void_p * 3)(offsets.ctypes.data, sources.ctypes.data, ending.ctypes.data)
        steps = np.zeros(activity.steps, [(name, np.int64) for name in STEP])
        totals = np.zeros(TOTAL_COUNT, np.int64)
        begin = process_time()
        wrong = library.egret_cycles_run(
            parameters.ctypes.data, network, pointers, self._memory.ctypes.data, len(self._memory),
            steps.ctypes.data, totals.ctypes.data,
        )  # fmt: skip
        seconds = process_time() - begin
        if wrong:
            raise ValueError(wrong.decode())
        steps["outputs"] = 1 if argmax_only else np.maximum(steps["outputs"], 1)  # a silent step has one beat, too
        values = totals.tolist()
        names = ["inputs", *(f"layer {layer}" for layer in range(groups - 1))]
        return Prediction(
            steps=steps,
            cycles=values[0],
            totals=dict(zip(TOTALS[1:], values[1:], strict=False)),
            split=dict(zip(names, values[len(TOTALS) :], strict=False))
            | dict(zip(REST, values[len(TOTALS) + GROUPS_MAX :], strict=False)),
            memory=dict(zip(Counts._fields, values[-len(Counts._fields) :], strict=True)),
            seconds=seconds,
        )


if __name__ == "__main__":
    from sim.cycles.command import main

    sys.exit(main())

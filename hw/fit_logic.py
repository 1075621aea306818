"""What a core's logic grows with: for each component the sizes that its LUTs and flip-flops are estimated from.

Widths come from the layouts that the hardware is built with. How much logic goes with each is measured, by
:mod:`hw.calibrate`.
"""

from __future__ import annotations

from golden.beats import BEAT_BITS, READOUT_PLACES, BeatFormat
from golden.fixed import GATES
from hw.beat_walker import LaneBeat
from hw.bus.axi4_read import ReadBeat
from hw.cell_egru import stages
from hw.cell_group import CellGroup
from hw.config import CoreConfig
from hw.event import INDEX_BITS, Drain, Event, FanoutList, JobTag, Operation, Result
from hw.fit_blocks import BETWEEN, CELL_UNIT, COUNTERS, HOST_LINK, LANE, LIST_FETCH, RANKING, WORD_ROWS, Inventory
from hw.hops import TREES
from hw.lane import LaneActivity
from hw.list_fetch import ListContext, ListFormat
from hw.load_bus import LaneWrite, LoadWrite, NetworkDescription

NEIGHBOURS = 4  #: lanes that share a register of a bus, about

#: Sizes of a component: how much of its logic goes with each is to be found.
Sizes = dict[str, float]


def sizes(config: CoreConfig, blocks: Inventory, *, host_link: bool) -> dict[str, Sizes]:
    """Return the sizes of each component of a core, of all of a kind together, by the names of :mod:`hw.area`."""
    lanes, cells = config.lanes, config.cell_units
    lane = _compact_lane if config.compact else _streamed_lane if config.streamed else _lane
    parts = {
        LANE: _times(lanes, lane(config)) | _blocks(blocks, LANE),
        CELL_UNIT: _times(cells, _compact_cell_unit(config) if config.compact else _cell_unit(config))
        | _blocks(blocks, CELL_UNIT),
        "broadcaster": {
            "one": 1,
            "results": cells * Result(config).size,
            "event": Event(config).size,
            "layers": config.layers * config.source_bits,
        },
        "sequencer": {"one": 1, "lanes": lanes * config.marker_bits, "layers": config.layers * config.row_bits},
        "loader": {"one": 1, "network": NetworkDescription(config).size, "bus": LoadWrite(config).size},
        "output": {"one": 1, "sum": config.acc_bits},
        BETWEEN: {"one": 1, "lanes": lanes} if config.compact else _between(config),
    }
    if config.streamed:
        parts |= _lists(config, blocks)
    if not config.compact:
        parts["queue of a lane"] = _times(lanes, _queue(config))
    if config.counters:
        counted = {"one": 1, "groups": config.groups, "lanes": lanes, "hits": config.groups * lanes}
        parts[COUNTERS] = counted | _blocks(blocks, COUNTERS)
    if host_link:
        parts |= {"bus and registers": {"one": 1}, HOST_LINK: {"one": 1}, "around it": {"board": 1}}
        if config.ranked:
            parts["bus and registers"]["ranked"] = 1
            parts[RANKING] = {"one": 1, "places": config.ranked * (INDEX_BITS + config.acc_bits)} | _blocks(
                blocks, RANKING
            )
    else:  # hw.registered: shift registers at the ports
        parts["around it"] = {"one": 1, "ports": config.value_bits + config.unit_bits}
        if config.streamed:
            parts["around it"] |= {"window": 1, "memory": config.port_bits}
    return parts


def _lists(config: CoreConfig, blocks: Inventory) -> dict[str, Sizes]:
    """Return the sizes of what turns events into the beats of their lists."""
    event, context = Event(config).size, ListContext(config).size
    ways = 2 * config.beats_at_once
    return {
        LIST_FETCH: {
            "one": 1,
            "format": ListFormat(config).size,
            "items": event + context,
            "deep": event * _further_words(config),
        }
        | _blocks(blocks, LIST_FETCH),
        "read master": {
            "one": 1,
            "item": ReadBeat(config.port_bits).size,
            "half": config.port_bits * (config.port_bits < BEAT_BITS),
        },
        "beat spreader": {
            "one": 1,
            "beats": ways * LaneBeat(config).size,
            "targets": ways * config.lanes,
            "boundary": config.layers * (config.row_bits + 1),
        },
    }


def _queue(config: CoreConfig) -> Sizes:
    item = (LaneBeat if config.streamed else FanoutList)(config).size
    return {"one": 1, "item": item, "deep": item * _further_words(config), "direct": item * config.forwarding}


def _further_words(config: CoreConfig) -> int:
    """Return how many distributed RAMs a bit of a queue has beyond the first."""
    return -(-config.queue_depth // WORD_ROWS) - 1


def _lane(config: CoreConfig) -> Sizes:
    registers = 3 + (not config.forwarding) * (1 + (config.hops > 1))
    operation = Operation(config).size
    return {
        "one": 1,
        "buses": LaneWrite(config).size + 3 * Event(config).size + registers * operation,
        "sum": config.acc_bits,
        "drains": Drain(config).size,
        "split": config.acc_bits * config.split_banks,
        "forwarding": config.acc_bits * config.forwarding,
    }


def _streamed_lane(config: CoreConfig) -> Sizes:
    form = BeatFormat(config.lanes, config.weight_bits, config.gap_bits, False, False)
    beat = LaneBeat(config).size
    return {
        "streamed": 1,
        "beat": beat,
        "ways": (2 * config.beats_at_once - 1) * beat,
        "slots": form.slots(True) * (config.weight_bits + config.gap_bits),
        "streamed operation": Operation(config).size,
        "streamed sum": config.acc_bits,
        "streamed split": config.acc_bits * config.split_banks,
    }


def _cell_unit(config: CoreConfig) -> Sizes:
    lanes = config.lanes_per_cell
    depth = stages(config).latency + 3 + (lanes > 1) + 2 * (config.hops - 1)
    return {
        "one": 1,
        "sum": config.acc_bits,
        "choice": (lanes - 1) * len(GATES) * config.acc_bits,
        "chosen": _chosen(config) * len(GATES) * config.acc_bits,
        "lanes": lanes * (config.row_bits + config.marker_bits),
        "far": (config.hops > 1) * config.acc_bits,
        "stages": depth * (config.unit_bits + JobTag(config).size),
        "results": Result(config).size * CellGroup.RESULTS_DEPTH / 16,
        "hops": (config.hops - 1) * Result(config).size,
        "layers": config.layers * 5 * len(GATES),
        "readout row": config.streamed * READOUT_PLACES * config.acc_bits,
    }


def _compact_lane(config: CoreConfig) -> Sizes:
    return {"one": 1, "address": config.list_bits, "sum": config.acc_bits, "row": config.row_bits}


def _compact_cell_unit(config: CoreConfig) -> Sizes:
    return {
        "one": 1,
        "sum": config.acc_bits,
        "choice": config.lanes * (config.acc_bits + config.marker_bits),
        "unit": config.unit_bits,
    }


def _chosen(config: CoreConfig) -> int:
    """Return how many registers of sums the tree has that joins the lanes of a cell unit."""
    levels, registers, left = config.hops - (config.lanes_per_cell == 1), 0, config.lanes_per_cell
    for level in range(levels):
        first, last = (config.lane_bits * k // levels for k in (level, level + 1))
        left = -(-left >> (last - first))
        registers += left
    return registers


def _between(config: CoreConfig) -> Sizes:
    hops = config.hops - 1
    neighbours = -(-config.lanes // NEIGHBOURS)
    ways = config.streamed * 2 * config.beats_at_once
    copies = sum(-(-config.lanes // receivers) for receivers in TREES[config.hops])
    return {
        "one": 1,
        "lanes": config.lanes,
        "cells": config.cell_units,
        "drains": hops * config.lanes * (Drain(config).size + LaneActivity(config).size + 2 * config.marker_bits),
        "buses": (not config.streamed) * hops * neighbours * (LoadWrite(config).size + Event(config).size),
        "beats": ways * (copies * LaneBeat(config).size + hops * config.lanes),
        "load": hops * config.cell_units * (LoadWrite(config).size + Drain(config).size),
    }


def _blocks(blocks: Inventory, component: str) -> Sizes:
    """Return what memories leave to logic; already of all components of a kind."""
    found = blocks[component]
    return {"distributed": found.distributed, "selected": found.selected}


def _times(count: int, each: Sizes) -> Sizes:
    return {name: count * size for name, size in each.items()}

"""The compact core: what :class:`hw.core.Core` is made of where its configuration says ``compact``."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring

from hw.broadcast import Broadcaster
from hw.compact.cell_group import CellGroup
from hw.compact.event_queue import EventQueue
from hw.compact.lane import Lane
from hw.compact.loader import CompactLoader
from hw.delay import delay
from hw.errors import Error
from hw.input_decoder import InputDecoder
from hw.load_bus import LoadKind
from hw.output import Output
from hw.progress import Progress
from hw.sequencer import Sequencer


def compact_core(core: wiring.Component) -> Module:
    """Return the module of a compact core, connected to the ports of ``core``."""
    m = Module()
    config = core.config
    m.submodules.loader = loader = CompactLoader(config)

    # Everything but loader and decoder is reset without a network, too. Until a reset is over nothing is taken or sent.
    resetting = [core.reset]
    for cycle in range(1, 4):
        resetting.append(delay(m, resetting[-1], 1, f"resets_{cycle}", init=0))
    stopped, unsettled = Signal(init=1), Cat(resetting[1:]).any()
    m.d.sync += stopped.eq(Cat(resetting[:2]).any() | ~loader.loaded)

    def stoppable(name, component):
        m.submodules[name] = part = ResetInserter(stopped)(component)
        return part

    m.submodules.decoder = decoder = ResetInserter(core.reset | unsettled)(InputDecoder(config))
    broadcaster = stoppable("broadcaster", Broadcaster(config))
    queue = stoppable("event_queue", EventQueue(config))
    lanes = [stoppable(f"lane_{number}", Lane(config)) for number in range(config.lanes)]
    sequencer = stoppable("sequencer", Sequencer(config))
    group = stoppable("cell_0", CellGroup(config))
    progress = stoppable("progress", Progress(config))
    output = stoppable("output", Output(config))

    # Loading.
    wiring.connect(m, wiring.flipped(core.load), loader.i)
    write = loader.write
    is_list = write.valid & ((write.kind == LoadKind.DIRECTORY) | (write.kind == LoadKind.ENTRY))
    m.d.comb += [
        loader.restart.eq(core.reset),
        loader.idle.eq(core.idle & loader.loaded),
        core.loaded.eq(loader.loaded & ~stopped),
        decoder.network.eq(loader.network),
        sequencer.network.eq(loader.network),
        sequencer.state_written.eq(loader.state_written),
        group.load.eq(write),
    ]
    for number, lane in enumerate(lanes):
        m.d.comb += [
            lane.load.valid.eq(is_list & (write.select == number)),
            lane.load.address.eq(write.address),
            lane.load.data.eq(write.data),
        ]

    # Input and results to the lanes.
    m.d.comb += [
        decoder.i.payload.eq(core.i.payload),
        decoder.i.valid.eq(core.i.valid & ~unsettled),
        core.i.ready.eq(decoder.i.ready & ~unsettled),
        decoder.loaded.eq(core.loaded),
        decoder.bank.eq(sequencer.input_bank),
        decoder.between_steps.eq(sequencer.between_steps),
    ]
    wiring.connect(m, decoder.o, broadcaster.input)
    wiring.connect(m, group.result, broadcaster.results[0])
    event = broadcaster.event
    m.d.comb += [
        broadcaster.input_allowed.eq(sequencer.input_ready),
        broadcaster.lanes_ready.eq(queue.ready),
        queue.valid.eq(broadcaster.valid),
        *(queue.event[name].eq(event[name]) for name in ("kind", "part", "source", "value", "bank")),
        queue.wants.eq(Cat(lane.wants for lane in lanes)),
    ]
    for number, lane in enumerate(lanes):
        m.d.comb += [lane.event.eq(queue.o), lane.valid.eq(queue.o_valid[number])]

    # Lanes and the cell unit.
    m.d.comb += [
        sequencer.input_end.eq(broadcaster.input_end),
        sequencer.input_ending.eq(decoder.ending),
        sequencer.layer_end.eq(broadcaster.layer_end),
        sequencer.cells_idle.eq(group.idle),
        group.start.eq(sequencer.start),
        group.job.eq(sequencer.job),
        group.sweep.eq(sequencer.sweep),
        group.state_addr.eq(core.unit_select),
        core.state.eq(group.state),
        core.updates[0].eq(group.update),
    ]
    for number, (lane, passed) in enumerate(zip(lanes, progress.lanes, strict=True)):
        m.d.comb += [
            lane.hold.eq(group.hold[number]),
            lane.drain.eq(group.drain[number]),
            group.sum[number].eq(lane.sum),
            group.inputs_passed[number].eq(lane.inputs_passed),
            group.layers_passed[number].eq(lane.layers_passed),
            passed.inputs.eq(lane.inputs_passed),
            passed.layers.eq(lane.layers_passed),
        ]
    m.d.comb += [
        progress.egru_count.eq(loader.network.layer_count - loader.network.readout),
        progress.input_end.eq(broadcaster.input_end),
        progress.layer_end.eq(broadcaster.layer_end),
        progress.step_end.eq(broadcaster.output_valid & broadcaster.output.end),
        core.idle.eq(progress.idle & sequencer.between_steps & output.empty & decoder.empty),
    ]

    # Output.
    m.d.comb += [
        output.i.valid.eq(broadcaster.output_valid),
        output.i.payload.eq(broadcaster.output),
        # Free in the next cycle, when this is looked at. A result takes a cell unit many cycles.
        broadcaster.output_ready.eq(~output.o.valid & ~broadcaster.output_valid),
        core.o.payload.eq(output.o.payload),
        core.o.valid.eq(output.o.valid & ~unsettled),
        output.o.ready.eq(core.o.ready & ~unsettled),
        output.base.eq(Mux(loader.network.readout, 0, loader.network.output_base)),
        output.argmax_only.eq(core.argmax_only),
        core.best_index.eq(output.best_index),
        core.best_value.eq(output.best_value),
        core.best_valid.eq(output.best_valid),
    ]

    # Errors: the first is kept. Each passes a register first.
    clears = core.reset | core.clear_error
    told = [
        (
            delay(m, Mux(clears, Error.NONE, error), 1, f"{name}_error", init=0),
            delay(m, detail, 1, f"{name}_detail"),
        )
        for name, error, detail in (
            ("extra", core.extra_error, core.extra_detail),
            ("decoder", decoder.error, decoder.detail),
            ("loader", loader.error, loader.detail),
        )
    ]
    with m.If(clears):
        m.d.sync += core.error.eq(Error.NONE)
    with m.Elif(core.error == Error.NONE):
        for error, detail in told:
            with m.If(error != Error.NONE):
                m.d.sync += [core.error.eq(error), core.detail.eq(detail)]
    return m

"""Input decoder and broadcaster: what becomes of every beat, and the order that keeps every step whole."""

import random
from collections import Counter
from dataclasses import replace

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from hw.broadcast import Broadcaster
from hw.config import CoreConfig
from hw.errors import Error
from hw.event import NULL_INDEX, RESTORE_FLAG, Event, EventKind, InputBeat, ListPart, Result
from hw.input_decoder import InputDecoder
from tests.hw.bench import STALLS, StreamSource, start, wait_until
from tests.hw.pins import Pins

CONFIG = CoreConfig(
    lanes=4, cell_units=2, queue_depth=8, rows=16, entries=64, sources=64, layers=4, y_bits=8, value_bits=9,
    acc_bits=20,
)  # fmt: skip
INPUTS = 10
LAYERS = ((10, 7), (17, 1), (18, 12))  #: first source, units
NETWORK = {
    "inputs": INPUTS, "layer_count": 4, "readout": 1, "rows": 9, "output_base": 18, "outputs": 3,
    "layers": [{"source": first, "units": units} for first, units in (*LAYERS, (30, 3))],
}  # fmt: skip
UNITS_END = 30


def random_beat():
    kind = random.choices(("input", "restore", "null", "outside", "restore_outside"), (6, 3, 1, 1, 1))[0]
    index = {
        "input": random.randrange(INPUTS),
        "restore": RESTORE_FLAG | random.randrange(INPUTS, UNITS_END),
        "null": NULL_INDEX,
        "outside": random.choice((INPUTS, INPUTS + 1, 0x7FFF)),
        "restore_outside": RESTORE_FLAG | random.choice((0, INPUTS - 1, UNITS_END, 0x7FFE)),
    }[kind]
    value = random.choice((0, 1, -1, -256, 255, random.randrange(-256, 256)))
    last = random.random() < 0.3
    return {"index": index, "value": value, "last": int(last), "user": int(last and random.random() < 0.3)}


def decode(beat, bank, between_steps, loaded):
    """Return what a beat becomes: events and ends, and (error, detail) or None."""
    index, is_restore = beat["index"], beat["index"] & RESTORE_FLAG
    source = index & ~RESTORE_FLAG
    out, error = [], None
    inside = INPUTS <= source < UNITS_END if is_restore else source < INPUTS
    if index == NULL_INDEX:
        pass
    elif not loaded:
        error = Error.NOT_LOADED, index
    elif not inside:
        error = Error.INDEX, index
    elif is_restore and not between_steps:
        error = Error.BUSY, index
    elif beat["value"] and is_restore:
        layer = max(l for l, (first, _) in enumerate(LAYERS) if first <= source)
        out.append((EventKind.EVENT, ListPart.RECURRENT, source, beat["value"], bank ^ layer & 1, CONFIG.restore_group))
    elif beat["value"]:
        out.append((EventKind.EVENT, ListPart.WHOLE, source, beat["value"], bank, 0))
    if beat["last"] and loaded:
        out.append((EventKind.INPUT_END, beat["user"]))
    return out, error


async def settle(pins):
    """Wait until the decoder has seen the network."""
    for _ in range(3):
        await pins.cycle()


@cocotb.test()
@cocotb.parametrize(source_stall=STALLS, sink_stall=STALLS, setting=((0, 1, 1), (1, 1, 1), (1, 0, 1), (0, 1, 0)))
async def decodes_every_beat(dut, source_stall, sink_stall, setting):
    bank, between_steps, loaded = setting
    pins = Pins(dut, InputDecoder(CONFIG))
    source = StreamSource(dut, "i", InputBeat(CONFIG), stall=source_stall)
    await start(dut)
    pins.set(network=NETWORK, bank=bank, between_steps=between_steps, loaded=loaded)
    await settle(pins)
    sent = [random_beat() for _ in range(60)]
    source.send(*sent)
    events, errors = [], []
    rng = random.Random(random.random())
    for _ in range(600):
        await pins.cycle(o__ready=rng.random() >= sink_stall)
        if pins.get("o__valid") and pins.get("o__ready"):
            o = pins.get("o__payload")
            if o.kind == EventKind.EVENT:
                events.append((o.kind, o.part, o.source, o.value, o.bank, o.group))
            else:
                events.append((o.kind, pins.get("ending")))
        if (error := Error(pins.get("error"))) != Error.NONE:
            errors.append((error, pins.get("detail")))
    decoded = [decode(beat, bank, between_steps, loaded) for beat in sent]
    assert source.sent_all
    assert events == [event for out, _ in decoded for event in out]
    assert errors == [error for _, error in decoded if error]


@cocotb.test()
async def takes_a_beat_a_cycle_and_two_for_the_last(dut):
    pins = Pins(dut, InputDecoder(CONFIG))
    await start(dut)
    pins.set(network=NETWORK, loaded=1, between_steps=1, o__ready=1)
    await settle(pins)
    beats = [(1, 5, 0), (2, 0, 0), (3, 7, 0), (4, 9, 1), (NULL_INDEX, 0, 1), (5, 0, 1), (6, 1, 0)]
    given, at = [], 0
    for _ in range(10):
        index, value, last = beats[min(at, len(beats) - 1)]
        await pins.cycle(i__valid=at < len(beats), i__payload={"index": index, "value": value, "last": last})
        at += pins.get("i__valid") & pins.get("i__ready")
        given.append(pins.get("o__valid"))
    # Latency one cycle; then every cycle gives something, but for the event of value 0.
    assert given == [0, 1, 0, 1, 1, 1, 1, 1, 1, 0] and pins.get("empty")


# The broadcaster.


def random_jobs(count):
    """Return jobs: a tag, and the results of each cell unit, the last of them final."""
    jobs = []
    for job in range(count):
        readout = job % 3 == 2
        tag = {
            "readout": int(readout), "layer": job % 3, "bank": random.randrange(2),
            "output": int(job % 3 == 1 and job % 2), "ending": random.randrange(2), "fresh": random.randrange(2),
        }  # fmt: skip
        results = []
        for _ in range(CONFIG.cell_units):
            to = {"to_lanes": not readout, "to_output": readout or tag["output"]}
            items = [
                {**to, "tag": tag, "id": random.randrange(CONFIG.sources), "value": random.randrange(1, 256)}
                for _ in range(random.choice((0, 1, 2, 6)))
            ]
            if not items or random.random() < 0.5:
                items.append({"to_lanes": 0, "to_output": 0, "tag": tag, "id": 0, "value": 0})
            items[-1] = {**items[-1], "tag": {**tag, "final": 1}}
            results.append(items)
        jobs.append((tag, results))
    return jobs


def is_far():
    """Return whether the component under test has more than one hop."""
    return int(cocotb.plusargs["hops"]) > 1


class Log:
    """Watch the broadcaster in every cycle: the rules that hold at each, and what it sent.

    With more than one hop results look for room a cycle earlier.
    """

    def __init__(self, dut, pins):
        self.broadcast, self.output = [], []
        self.job_of_broadcast, self.job_of_output = [], []
        self.jobs_ended = 0
        self._pins, self._clock = pins, dut.clk
        self._late = is_far()
        self._ready = [False] * 3  # lanes were, three cycles ago, two (for an event that comes now), and one
        self._output_ready = [False] * 2  # two cycles ago and one
        self._final = [False] * CONFIG.cell_units
        self._was_busy = False  # with results or the end of their layer, in the cycle before
        self._was_allowed = False  # input was, in the cycle before
        self._since_end = 3  # cycles since an end of input
        cocotb.start_soon(self._run())

    async def _run(self):
        get = self._pins.get
        while True:
            await RisingEdge(self._clock)
            if get("valid"):
                event = get("event")
                is_result = event.kind == EventKind.EVENT and event.group != 0
                assert self._ready[1 - (self._late and is_result)], "an event was sent though a lane had no room"
                self.broadcast.append(event)
                self.job_of_broadcast.append(self._chosen_in)
            self._ready, self._chosen_in = [*self._ready[1:], bool(get("lanes_ready"))], self.jobs_ended

            busy = all(self._final)
            for unit in range(CONFIG.cell_units):
                offered, taken = get(f"results__{unit}__valid"), get(f"results__{unit}__ready")
                if offered and self._final[unit]:
                    assert not taken, "a result of the next job overtook the end of its layer"
                payload = get(f"results__{unit}__payload")
                busy |= bool(offered) and not self._final[unit] and bool(payload.to_lanes | payload.to_output)
                if offered and taken and payload.tag.final:
                    self._final[unit] = True
            taken_input = get("input__valid") and get("input__ready")
            if taken_input:
                assert self._was_allowed and self._ready[1] and not self._was_busy and self._since_end >= 3
                kind = get("input__payload").kind
            self._since_end += 1
            self._was_allowed = get("input_allowed")
            assert get("input_end") == bool(taken_input and kind == EventKind.INPUT_END)
            if get("input_end"):
                self._since_end = 0
            if get("output_valid"):
                item = get("output")
                assert self._output_ready[1 - (self._late and not item.end)], (
                    "a result was sent though the output had no room"
                )
                self.output.append(item)
                self.job_of_output.append(self.jobs_ended)
            self._output_ready = [self._output_ready[1], bool(get("output_ready"))]
            ended_readout = get("output_valid") and get("output").end
            self._was_busy = busy
            if get("layer_end") or ended_readout:
                self._was_busy = False
                self.jobs_ended += 1
                self._final = [False] * CONFIG.cell_units


def value_of(result):
    return result["id"], result["value"]


@cocotb.test()
@cocotb.parametrize(stall=STALLS, lanes_busy=(0.0, 0.5), output_stall=(0.0, 0.6))
async def keeps_every_step_whole(dut, stall, lanes_busy, output_stall):
    """Results before the end of their layer, that before results of later jobs; input in between, in order."""
    pins = Pins(dut, Broadcaster(CONFIG))
    cells = [StreamSource(dut, f"results__{unit}", Result(CONFIG), stall=stall) for unit in range(CONFIG.cell_units)]
    inputs = StreamSource(dut, "input", Event(CONFIG), stall=stall)
    await start(dut)
    log = Log(dut, pins)
    jobs = random_jobs(24)
    for _, results in jobs:
        for cell, items in zip(cells, results, strict=True):
            cell.send(*items)
    sent = [
        {"kind": random.choices((EventKind.EVENT, EventKind.INPUT_END), (4, 1))[0], "source": at % CONFIG.sources,
         "value": random.randrange(-256, 256), "bank": random.randrange(2), "group": 0}
        for at in range(80)
    ]  # fmt: skip
    inputs.send(*sent)
    for _ in range(3000):
        await pins.cycle(
            lanes_ready=random.random() >= lanes_busy,
            input_allowed=random.random() < 0.7,
            output_ready=random.random() >= output_stall,
        )
        if log.jobs_ended == len(jobs) and inputs.sent_all:
            break
    for _ in range(3):
        await pins.cycle(lanes_ready=1, output_ready=0)
    assert log.jobs_ended == len(jobs) and inputs.sent_all

    from_input = [event for event in log.broadcast if event.group == 0 and event.kind != EventKind.LAYER_END]
    assert [(e.kind, e.source, e.value, e.bank) for e in from_input] == [
        (e["kind"], e["source"], e["value"], e["bank"]) for e in sent
    ]
    for job, (tag, results) in enumerate(jobs):
        items = [item for cell in results for item in cell if item["to_lanes"] or item["to_output"]]
        events = [event for event, j in zip(log.broadcast, log.job_of_broadcast, strict=True) if j == job]
        units = [event for event in events if event.group != 0]
        if tag["readout"]:
            assert not units and not any(event.kind == EventKind.LAYER_END for event in events)
        else:
            assert Counter((e.source, e.value) for e in units) == Counter(map(value_of, items))
            part = ListPart.FORWARD if tag["ending"] else ListPart.WHOLE
            assert all((e.part, e.bank, e.group) == (part, tag["bank"], tag["layer"] + 1) for e in units)
            assert [event.kind for event in events].count(EventKind.LAYER_END) == 1
            assert events[-1].kind == EventKind.LAYER_END
        # Each cell unit's results stay in order.
        order = [(e.source, e.value) for e in units]
        for cell in results:
            mine = [value_of(item) for item in cell if item["to_lanes"]]
            assert is_subsequence(mine, order)

        out = [item for item, j in zip(log.output, log.job_of_output, strict=True) if j == job]
        if tag["readout"] or tag["output"]:
            assert Counter((o.index, o.value) for o in out[:-1]) == Counter(map(value_of, items))
            assert out[-1].end and out[-1].ending == tag["ending"] and not any(o.end for o in out[:-1])
        else:
            assert not out


def is_subsequence(items, sequence):
    at = iter(sequence)
    return all(item in at for item in items)


@cocotb.test()
async def sends_one_item_a_cycle(dut):
    """A job of two cell units with 5 events each and an end: 11 cycles; an empty result takes none of the others'.

    With more than one hop each of them sends every other cycle, and the end comes up to two cycles later.
    """
    pins = Pins(dut, Broadcaster(CONFIG))
    cells = [StreamSource(dut, f"results__{unit}", Result(CONFIG)) for unit in range(CONFIG.cell_units)]
    await start(dut)
    pins.set(lanes_ready=1, input_allowed=1, output_ready=1)
    tag, final = {"layer": 1}, {"layer": 1, "final": 1}
    events = [{"to_lanes": 1, "tag": tag, "id": at, "value": 1} for at in range(5)]
    cells[0].send(*events, {"tag": final})
    cells[1].send(*events[:-1], {**events[-1], "tag": final})
    await wait_until(dut.clk, lambda: pins.get("valid"))
    sent = []
    for _ in range(14):
        sent.append(pins.get("valid"))
        await pins.cycle()
    # The end follows in the cycle after the last result, which the empty one may be.
    assert sent[:10] == [1] * 10 and sum(sent[10 : 14 if is_far() else 12]) == 1 and sum(sent) == 11


def test_decoder(simulate):
    simulate(InputDecoder(CONFIG), only="decodes_every_beat|takes_a_beat")


def test_decoder_with_hops(simulate):
    simulate(InputDecoder(replace(CONFIG, hops=2)), only="decodes_every_beat")


@pytest.mark.parametrize("hops", [1, 2])
def test_broadcaster(simulate, hops):
    simulate(
        Broadcaster(replace(CONFIG, hops=hops)),
        only="keeps_every_step_whole|sends_one_item",
        parameters={"hops": hops},
    )

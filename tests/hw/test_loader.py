"""Loader: every record becomes the writes it stands for; every way in which an image can be wrong is told apart."""

import cocotb

from hw.config import CoreConfig
from hw.errors import Error
from hw.load_bus import LoadKind
from hw.loader import Loader
from tests.hw.bench import packed_directory_word
from tests.hw.loader_bench import BIASES, LoaderBench, faults, make_image, records

CONFIG = CoreConfig(
    lanes=4, cell_units=2, queue_depth=8, rows=16, entries=256, sources=64, layers=3, y_bits=8, value_bits=9,
    acc_bits=24,
)  # fmt: skip
FAULTS = faults(CONFIG)


def writes_of(words):
    """Return (kind, select, address, data) of every write that an image stands for."""
    writes = []
    for _, kind, select, address, data in records(words):
        if kind == LoadKind.DIRECTORY:
            for source, (low, counts) in enumerate(zip(data[::2], data[1::2], strict=True), address):
                forward, count = counts & 0xFFFF, counts >> 16
                word = packed_directory_word(CONFIG, low, forward, count)
                writes.append((kind, select, source, word))
        elif kind in (LoadKind.ENTRY, LoadKind.UNIT, LoadKind.STATE, *BIASES):
            writes += [(kind, select, at, word) for at, word in enumerate(data, address)]
    return writes


async def begin(dut):
    return await LoaderBench.begin(dut, Loader(CONFIG), writes_of, after=4)


@cocotb.test()
@cocotb.parametrize(outputs=(3, None), gaps=(0.0, 0.5))
async def writes_what_an_image_says(dut, outputs, gaps):
    bench = await begin(dut)
    compiled, words = make_image(CONFIG, outputs=outputs)
    await bench.loads(words, gaps=gaps)

    network, image = bench.pins.get("network"), compiled.image
    assert (network.inputs, network.layer_count, network.readout) == (image.inputs, len(image.layers), image.readout)
    assert (network.rows, network.outputs) == (image.row_count, image.layers[-1].units)
    assert network.output_base == image.layers[-2 if image.readout else -1].first_source
    for l, place in enumerate(image.layers):
        layer = network.layers[l]
        assert (layer.base, layer.rows) == (place.base, place.rows)
        assert (layer.source, layer.units) == (place.first_source, place.units)
        assert [layer.shifts[gate] - 4 for gate in range(4)] == list(place.shifts)


@cocotb.test()
async def loads_one_image_after_the_other(dut):
    """``loaded`` falls with the first word of the next and rises with its last."""
    bench = await begin(dut)
    for seed in range(3):
        _, words = make_image(CONFIG, seed=seed)
        await bench.send(words[:1])
        assert not bench.pins.get("loaded")
        await bench.send(words[1:])
        assert bench.pins.get("loaded")
        bench.wrote(words)


@cocotb.test()
async def a_cut_image_never_counts_as_loaded(dut):
    await (await begin(dut)).loads_after_any_cut(make_image(CONFIG)[1])


@cocotb.test()
async def a_restart_forgets_a_record_but_not_the_network(dut):
    bench = await begin(dut)
    await bench.loads(make_image(CONFIG)[1])
    await bench.send([LoadKind.STATE.value << 24 | 5, 0, 1, 2])
    await bench.restart()
    assert bench.pins.get("loaded")
    await bench.send([LoadKind.ENTRY.value << 24 | 1, 0, 0])
    assert bench.errors[0][0] == Error.LOAD_ORDER and not bench.writes


@cocotb.test()
async def a_state_is_written_between_steps_only(dut):
    await (await begin(dut)).writes_states_between_steps_only(select=1)


@cocotb.test()
@cocotb.parametrize(fault=list(FAULTS))
async def tells_what_is_wrong_and_writes_no_more(dut, fault):
    bench = await begin(dut)
    await bench.tells(*FAULTS[fault])
    await bench.loads(make_image(CONFIG)[1])


def test_loader(simulate):
    simulate(Loader(CONFIG))

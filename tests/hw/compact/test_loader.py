"""The compact loader: what an image stands for, a word every other cycle; faults told as the other one does."""

import cocotb

from golden.fixed import SHIFT_GUARD
from hw.compact.lane import Place, directory_base
from hw.compact.loader import CompactLoader
from hw.config import CoreConfig
from hw.load_bus import LoadKind
from tests.hw.loader_bench import BIASES, LoaderBench, faults, make_image, records

CONFIG = CoreConfig(
    lanes=4, cell_units=1, rows=16, entries=256, sources=64, layers=3, y_bits=8, value_bits=9, acc_bits=24,
    counters=False, compact=True,
)  # fmt: skip
FAULTS = faults(CONFIG)


def writes_of(words):
    """Return (kind, select, address, data) of every write that an image stands for; of data 16 bits for lists."""
    writes = []
    for _, kind, select, address, data in records(words):
        if kind == LoadKind.DIRECTORY:
            for source, (begin, counts) in enumerate(zip(data[::2], data[1::2], strict=True), address):
                row = directory_base(CONFIG) + 4 * source
                for place, behind in (
                    (Place.START, 0), (Place.MIDDLE, counts & 0xFFFF), (Place.STOP, counts >> 16)
                ):  # fmt: skip
                    writes.append((kind, select, row + place.value, begin + behind))
        elif kind == LoadKind.LAYER:
            writes += [(kind, select, 2 * select, data[1] & 0xFFFF), (kind, select, 2 * select + 1, data[1] >> 16)]
        elif kind in (LoadKind.ENTRY, LoadKind.UNIT, LoadKind.STATE, *BIASES):
            writes += [(kind, select, at, word) for at, word in enumerate(data, address)]
    return writes


async def begin(dut):
    halves = (LoadKind.DIRECTORY, LoadKind.LAYER)
    return await LoaderBench.begin(dut, CompactLoader(CONFIG), writes_of, pause=1, halves=halves)


@cocotb.test()
@cocotb.parametrize(outputs=(3, None), gaps=(0.0, 0.5))
async def writes_what_an_image_says(dut, outputs, gaps):
    bench = await begin(dut)
    compiled, words = make_image(CONFIG, outputs=outputs)
    await bench.loads(words, gaps=gaps)

    network, image = bench.pins.get("network"), compiled.image
    assert (network.inputs, network.layer_count, network.readout) == (image.inputs, len(image.layers), image.readout)
    assert network.output_base == image.layers[-2 if image.readout else -1].first_source
    assert network.units_end == image.count.shape[1]
    for l, place in enumerate(image.layers):
        layer = network.layers[l]
        assert (layer.base, layer.rows, layer.source) == (place.base, place.rows, place.first_source)
        rows = [data for kind, select, _, data in writes_of(words) if (kind, select) == (LoadKind.LAYER, l)]
        shifts = [row >> 8 * half & 31 for row in rows for half in range(2)]
        assert [shift - SHIFT_GUARD for shift in shifts] == list(place.shifts)


@cocotb.test()
async def a_cut_image_never_counts_as_loaded(dut):
    await (await begin(dut)).loads_after_any_cut(make_image(CONFIG)[1])


@cocotb.test()
async def a_state_is_written_between_steps_only(dut):
    await (await begin(dut)).writes_states_between_steps_only(select=0)


@cocotb.test()
@cocotb.parametrize(fault=list(FAULTS))
async def tells_what_is_wrong_and_writes_no_more(dut, fault):
    bench = await begin(dut)
    await bench.tells(*FAULTS[fault])
    await bench.loads(make_image(CONFIG)[1])


def test_loader(simulate):
    simulate(CompactLoader(CONFIG))

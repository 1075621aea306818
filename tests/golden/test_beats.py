"""Lists in beats: every weight is there once, for the target it had, whatever the format."""

from dataclasses import replace

import numpy as np
import pytest

from golden.beat_storage import directory_bits, main, storage
from golden.beats import (
    GAP_BITS,
    READOUT_PLACES,
    BeatError,
    BeatFormat,
    choose_format,
    decode,
    encode_lists,
    place_streamed,
)
from golden.lists import matrices
from hw.config import CoreConfig
from tests.networks import random_fixed_network

OUTPUTS = 45


def network_of(rng, *, density=0.2, weight_bits=8, outputs=OUTPUTS, layers=(50, 37)):
    return random_fixed_network(
        rng, inputs=9, layers=list(layers), outputs=outputs, weight_density=density, weight_bits=weight_bits
    )


def wanted(network, placement):
    """Entries by source: lane, row, sum, weight."""
    found = [set() for _ in range(network.source_count)]
    for matrix in matrices(network):
        units = matrix.weights.shape[1] // len(matrix.gates)
        for source, column in np.argwhere(matrix.weights):
            block, unit = divmod(int(column), units)
            lane, row = int(placement.lane[matrix.layer][unit]), int(placement.row[matrix.layer][unit])
            is_readout = matrix.layer == len(network.layers)
            gate = unit // placement.lanes % READOUT_PLACES if is_readout else matrix.gates[block]
            found[matrix.first_source + source].add((lane, row, gate, int(matrix.weights[source, column])))
    return found


def got(network, placement, lists):
    """The same from the beats; fails where an entry is told twice."""
    found = [set() for _ in range(network.source_count)]
    # Below the boundary a place is of a recurrent sum, z, r or gh.
    forward = [placement.base[0], *(*placement.base[1:], placement.row_count)[: len(network.layers)]]
    boundaries = np.repeat(forward, [network.inputs, *(layer.units for layer in network.layers)])
    of = np.repeat(np.arange(network.source_count), lists.count)
    assert (lists.first == np.cumsum(lists.count) - lists.count).all() and lists.count.sum() == len(lists.beats)
    for beat, lane, row, place, weight in zip(*decode(lists), strict=True):
        source = of[beat]
        entry = (int(lane), int(row), int(place + (row < boundaries[source])), int(weight))
        assert entry not in found[source]
        found[source].add(entry)
    return found


@pytest.mark.parametrize("lanes", [1, 3, 16, 64])
@pytest.mark.parametrize("gap_bits", GAP_BITS)
@pytest.mark.parametrize("weight_bits", [8, 4])
@pytest.mark.parametrize("dense", [(False, False), (True, False), (False, True), (True, True)])
def test_every_weight_is_there(lanes, gap_bits, weight_bits, dense):
    rng = np.random.default_rng([lanes, gap_bits, weight_bits, *dense])
    for density in (0.02, 0.3, 1.0):
        network = network_of(rng, density=density, weight_bits=weight_bits)
        placement = place_streamed(network, lanes, np.ones(network.source_count))
        lists = encode_lists(network, placement, BeatFormat(lanes, weight_bits, gap_bits, *dense))
        assert got(network, placement, lists) == wanted(network, placement)
        lanes_of_halves = lists.beats[lists.beats[:, 0] & np.uint64(1) == 1] >> np.uint64(1) & np.uint64(lanes - 1)
        assert lanes & lanes - 1 or (lanes_of_halves[:, 0] != lanes_of_halves[:, 1]).all()


def test_all_lists_of_dense_inputs_are_equally_long():
    """So that no directory is needed to find one."""
    network = network_of(np.random.default_rng(0), density=0.05)
    placement = place_streamed(network, 4, np.ones(network.source_count))
    lists = encode_lists(network, placement, BeatFormat(4, 8, 5, True, False))
    assert len(set(lists.count[: network.inputs])) == 1


def test_beats_of_a_list_take_turns_between_lanes():
    """No lane gets a beat while another one that has more to come has got fewer."""
    network = network_of(np.random.default_rng(0), density=0.5, layers=(200, 100))
    placement = place_streamed(network, 4, np.ones(network.source_count))
    lists = encode_lists(network, placement, BeatFormat(4, 8, 5, False, True))
    lanes = (lists.beats[:, 0] >> np.uint64(1) & np.uint64(3)).astype(int)
    # Not halves, nor one without a partner, whose upper half is empty.
    is_whole = (lists.beats[:, 0] & np.uint64(1) == 0) & (lists.beats[:, 1] != 0)
    for source in range(network.source_count):
        here = slice(lists.first[source], lists.first[source] + lists.count[source])
        turns = lanes[here][is_whole[here]]
        rows = (lists.beats[here, 0][is_whole[here]] >> np.uint64(5) & np.uint64(0x7FF)).astype(int)
        to_readout = rows >= lists.readout_base
        assert (np.diff(to_readout.astype(int)) >= 0).all()
        for part in (turns[~to_readout], turns[to_readout]):
            total, got = np.bincount(part, minlength=4), np.zeros(4, int)
            for lane in part:
                assert all(got[other] >= min(got[lane], total[other]) for other in range(4))
                got[lane] += 1
        assert len(turns) > 8


def test_bits_of_a_beat():
    """As docs/beats.md has them: header, then weights and gaps."""
    form = BeatFormat(lanes=16, weight_bits=8, gap_bits=5, dense_inputs=False, dense_readout=True)
    assert (form.lane_bits, form.row_bits) == (4, 9)
    assert [form.slots(dense, half=half) for dense in (False, True) for half in (False, True)] == [9, 4, 14, 6]
    assert [BeatFormat(16, 8, gap, False, False).slots(False) for gap in GAP_BITS] == [9, 9, 8]
    assert [BeatFormat(16, 4, gap, False, False).slots(False) for gap in GAP_BITS] == [14, 13, 11]


def test_too_many_rows_are_refused():
    network = network_of(np.random.default_rng(0), layers=(600, 10))
    placement = place_streamed(network, 1, np.ones(network.source_count))
    form = BeatFormat(lanes=1, weight_bits=8, gap_bits=5, dense_inputs=False, dense_readout=False)
    assert form.row_bits == 13
    narrow = BeatFormat(lanes=64, weight_bits=8, gap_bits=5, dense_inputs=False, dense_readout=False)
    with pytest.raises(
        BeatError, match="^the network needs 622 rows a lane, a beat for 64 lanes can tell 128; use other"
    ):
        encode_lists(network, placement, narrow)


@pytest.mark.parametrize("density", [0.03, 0.2, 0.9])
def test_the_format_that_is_chosen_takes_the_fewest_beats(density):
    network = network_of(np.random.default_rng(1), density=density, layers=(150, 90))
    placement = place_streamed(network, 4, np.ones(network.source_count))
    chosen = choose_format(network, placement)
    sizes = {
        form: len(encode_lists(network, placement, form).beats)
        for gap in GAP_BITS
        for dense in ((False, False), (True, False), (False, True), (True, True))
        for form in [BeatFormat(4, 8, gap, *dense)]
    }
    assert sizes[chosen] <= 1.01 * min(sizes.values())
    assert (chosen.dense_inputs, chosen.dense_readout) == (density == 0.9, density == 0.9)


def test_a_narrower_network_gets_weights_as_wide_as_the_core_reads_them():
    network = network_of(np.random.default_rng(4), weight_bits=4)
    config = CoreConfig.fitting(replace(network, weight_bits=8), 3, cell_units=1, streamed=True)
    compiled = config.compile(network)
    assert compiled.lists.format.weight_bits == config.weight_bits == 8
    assert got(network, compiled.placement, compiled.lists) == wanted(network, compiled.placement)


def test_storage_counts_every_weight_and_every_bit():
    network = network_of(np.random.default_rng(2), density=0.2)
    placement = place_streamed(network, 3, np.ones(network.source_count))
    lists = encode_lists(network, placement, BeatFormat(3, 8, 5, False, True))
    found = storage(lists)
    weights = {"inputs": 0, "units": 0, "readout": 0}
    for matrix in matrices(network):
        kind = "readout" if matrix.layer == 2 else "units" if matrix.first_source or matrix.recurrent else "inputs"
        weights[kind] += np.count_nonzero(matrix.weights)
    assert {kind: each.nonzeros for kind, each in found.items()} == weights
    spare = 128 * len(lists.beats) - sum(each.bits for each in found.values())
    assert spare == 0 and all(each.nonzeros <= each.slots for each in found.values())
    longest = int(lists.count.max()).bit_length()
    assert directory_bits(lists) == network.source_count * (len(lists.beats).bit_length() + longest)


def test_command(monkeypatch, capsys):
    arguments = ["golden.beat_storage", "--random", "40,30", "--words", "50", "--density", "0.1", "--lanes", "4"]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    printed = capsys.readouterr().out
    assert "40,30: beats for 4 lanes, gaps of" in printed and " units " in printed
    for wrong, message in (
        (["--random", "40,x"], "error: invalid literal for int() with base 10: 'x'\n"),
        (["--random", "40", "--lanes", "65"], "error: lanes is 65; it must be from 1 to 64\n"),
        (["nowhere.safetensors"], "error: model file nowhere.safetensors: there is no such file; "),
    ):
        monkeypatch.setattr("sys.argv", ["golden.beat_storage", *wrong])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2 and capsys.readouterr().err.startswith(message)

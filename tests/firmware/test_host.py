"""The host's driver does the same on every way to a core: each number is the integer oracle's."""

from dataclasses import replace

import numpy as np
import pytest

from firmware.host import vectors as shipped
from firmware.host.digits import classification, read_digits, run_digits, speed
from firmware.host.network import States, compile_for
from firmware.host.selftest import as_table, self_test
from firmware.host.simulated import open_simulated
from firmware.port import CoreError, Step
from golden.fanout import required
from golden.reference import Oracle, State
from hw.build_folder import DIGITS
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.counters import counter_map
from hw.errors import Error
from tests.firmware.host_ports import COMPACT, CONFIG, STREAMED, open_way
from tests.hw.oracle import draw_case, expect
from tests.networks import random_fixed_network, random_inputs

WAYS = ("simulated", "axi", "uart")
COMPARED = 397  #: numbers of the vectors


@pytest.fixture(params=WAYS)
def device(request, tmp_path):
    with open_way(request.param, CONFIG, tmp_path) as device:
        yield device


@pytest.fixture
def simulated():
    with open_simulated(CONFIG) as device:
        yield device


def test_self_test(device):
    compared = self_test(device)
    assert {row.what for row in compared} >= {"outputs of all steps", "macs counted", "states h", "largest output"}
    assert sum(row.compared for row in compared) == COMPARED and not any(row.differ for row in compared)


def run_case(device, case):
    device.load(case.compiled.words)
    device.clear_counters()
    sequences = np.concatenate(case.sequences)
    ends = np.zeros(len(sequences), bool)
    ends[np.cumsum([len(sequence) for sequence in case.sequences]) - 1] = True
    outputs = device.run(sequences, ends)
    wanted = expect(case.network, case.sequences)
    dense = np.zeros_like(outputs)
    for number, step in enumerate(wanted):
        for index, value in step.outputs.items():
            dense[number, index] = value
    assert outputs.dtype == np.int32 and (outputs == dense).all()
    assert device.best == wanted[-1].best
    counters = device.counters()
    assert counters.keys() == counter_map(CONFIG).keys()
    assert counters["steps"] == len(wanted)
    assert counters["silent_fires"] == sum(step.silent_fires for step in wanted)
    for group in range(len(wanted[0].macs)):
        assert counters[f"macs_{group}"] == sum(step.macs[group] for step in wanted)
        assert counters[f"step_events_{group}"] == wanted[-1].events[group]


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(device, seed):
    run_case(device, draw_case(np.random.default_rng((1, seed)), CONFIG, units_max=40))


def test_states_are_saved_and_go_on_elsewhere(device):
    rng = np.random.default_rng(9)
    network = random_fixed_network(rng, inputs=7, layers=[13, 6], outputs=4, weight_density=0.4)
    inputs = random_inputs(rng, network, 9, 2, 0.4)
    trace = Oracle(network).run(inputs)
    device.load(compile_for(network, device.identity).words)
    saved = []
    for batch in range(2):
        device.reset()
        device.run(inputs[:4, batch], False)
        states = device.states()
        for layer in range(2):
            assert states.h[layer].dtype == np.int16 and (states.h[layer] == trace.h[layer][3, batch]).all()
            assert (states.fires[layer] == trace.fires[layer][3, batch]).all()
        saved.append(states)
    assert all(fires.any() for states in saved for fires in states.fires), "nothing to restore"
    for batch in (0, 1):
        device.write_states(saved[batch])
        assert (np.concatenate(device.states().h) == np.concatenate(saved[batch].h)).all()
        assert (device.run(inputs[4:, batch]) == trace.logits[4:, batch]).all()


def test_a_silent_step_behind_states_that_were_written(simulated):
    rng = np.random.default_rng(11)
    network = random_fixed_network(rng, inputs=5, layers=[12], outputs=3, weight_density=0.6)
    inputs = random_inputs(rng, network, 4, 1, 0.8)
    inputs[2] = 0
    trace = Oracle(network).run(inputs)
    simulated.load(compile_for(network, simulated.identity).words)
    simulated.run(inputs[:2, 0], False)
    states = simulated.states()
    assert states.fires[0].any(), "nothing to restore"
    simulated.write_states(states)
    requests, execute = [], simulated.core.execute
    simulated.core.execute = lambda operations: requests.append(operations) or execute(operations)
    assert (simulated.run(inputs[2:, 0]) == trace.logits[2:, 0]).all()
    assert requests[0][0].beats[-1] == (BUS_NULL_INDEX, 0), "a beat that restores must not end a step"


def test_a_reset_forgets(device):
    rng = np.random.default_rng(7)
    network = random_fixed_network(rng, inputs=6, layers=[9], outputs=3, weight_density=0.5)
    inputs = random_inputs(rng, network, 3, 1, 0.7)[:, 0]
    wanted = Oracle(network).run(inputs[:, None]).logits[:, 0]
    device.load(compile_for(network, device.identity).words)
    device.run(inputs, False)
    assert device.states().h[0].any()
    device.write_states(device.states())
    device.reset()
    assert not device.states().h[0].any()
    assert (device.run(inputs) == wanted).all()
    assert not device.states().h[0].any(), "behind the end of a sequence"
    assert device.error is None and device.counters()["steps"] == len(inputs)


@pytest.mark.parametrize("config", [CONFIG, COMPACT, STREAMED], ids=["usual", "compact", "streamed"])
def test_state_data_is_the_memory_as_it_is(config):
    """As docs/interfaces.md says: old words until the next update; a STATE record lets all of them count."""
    rng = np.random.default_rng(21)
    network = random_fixed_network(rng, inputs=7, layers=[13], outputs=4, weight_density=0.4)
    inputs = random_inputs(rng, network, 5, 1, 0.6)
    oracle = Oracle(network)
    old, first = oracle.run(inputs[:3]), oracle.run(inputs[3:4])

    with open_simulated(config) as device:
        compiled = compile_for(network, device.identity)
        image = compiled.words, compiled.lists.beats if config.streamed else None
        device.load(*image)

        def memory():
            words = np.array(device.core.select("state_select", device.network.selections, "state_data"))[:, 0]
            return device.network.split(words)

        def shows(trace):
            states = memory()
            return (states.h[0] == trace.h[0][-1, 0]).all() and (states.fires[0] == trace.fires[0][-1, 0]).all()

        device.run(inputs[:3, 0])
        assert old.h[0][-1].any() and shows(old) and not shows(first), "behind the end of a sequence"
        device.reset()
        assert shows(old), "behind a reset"
        device.load(*image)
        assert shows(old), "behind loading"
        device.run(inputs[3:4, 0], False)
        assert shows(first), "the step has begun with 0, and has written every unit"

        device.reset()
        states = memory()
        states.h[0][0] ^= 0x55
        device.core.write(device.core.address("load_data"), device.network.state_records(states)[:3])  # of one unit
        h = states.h[0][None].astype(np.int32)
        goes_on = oracle.step(inputs[4], State((h,), (np.zeros_like(h),)))
        assert (device.run(inputs[4:, 0], False) == goes_on.logits[:, 0]).all() and shows(goes_on)
        assert not (goes_on.h[0] == oracle.step(inputs[4], oracle.initial_state(1)).h[0]).all(), "nothing to tell apart"


def test_a_largest_output_below_0(simulated):
    network, vectors = shipped.read_vectors("readout")
    below = replace(network, readout=replace(network.readout, bias=network.readout.bias - 20_000))
    simulated.load(compile_for(below, simulated.identity).words)
    outputs = simulated.run(vectors.inputs, vectors.ends)
    assert (outputs == vectors.outputs - 20_000).all()
    assert simulated.best == (int(outputs[-1].argmax()), int(outputs[-1].max())) and outputs[-1].max() < 0


def test_no_steps(simulated):
    simulated.load(compile_for(shipped.read_vectors("readout")[0], simulated.identity).words)
    assert simulated.run(np.zeros((0, 12), int)).shape == (0, 5)
    assert simulated.best is None


def test_lists_in_external_memory():
    with open_simulated(STREAMED) as device:
        compared = self_test(device)
        assert sum(row.compared for row in compared) == COMPARED and not any(row.differ for row in compared)
        assert device.error is None


def test_a_compact_core():
    """It has no counters, so there are fewer numbers to compare."""
    with open_simulated(COMPACT) as device:
        compared = self_test(device)
        assert sum(row.compared for row in compared) == COMPARED - 12 and not any(row.differ for row in compared)
        assert device.counters() == {}
        done = run_digits(device, *_tiny_digits())
        assert done.exact and "without counters" in "".join(map(str, speed(done, device.identity).columns[1].cells))


def _tiny_digits():
    """A network that small cores hold, and digits for it."""
    _, inputs = read_digits(DIGITS, 1)
    drawn = random_fixed_network(np.random.default_rng(8), inputs=8, layers=[10], outputs=10, weight_density=0.3)
    return drawn, inputs


@pytest.mark.parametrize(
    "field", ["inputs", "outputs", "events", "macs", "h", "fires", "best"], ids=lambda field: f"a_bit_of_{field}"
)
def test_what_differs_is_found(simulated, monkeypatch, field):
    def damaged(name):
        network, vectors = shipped.read_vectors(name)
        array = getattr(vectors, field).copy()
        array.ravel()[0] = not array.ravel()[0] if array.dtype == bool else array.ravel()[0] ^ 1
        return network, shipped.Vectors(**{**vars(vectors), field: array})

    monkeypatch.setattr("firmware.host.selftest.read_vectors", damaged)
    compared = self_test(simulated)
    assert any(row.differ for row in compared)
    assert sum(row.compared for row in compared) == COMPARED
    assert as_table(compared).row_count == len(compared) + 1


def test_vectors_are_those_of_their_command(tmp_path):
    assert shipped.main([str(tmp_path)]) == 0
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in shipped.FOLDER.iterdir()}


def test_vectors_fit_small_cores():
    """As docs/host.md says."""
    needs = [required(shipped.read_vectors(name)[0], 1) for name in shipped.SHAPES]
    most = {key: max(need[key] for need in needs) for key in needs[0]}
    assert most == {
        "entries": 781, "lanes": 1, "rows": 25, "sources": 32, "layers": 2, "weight_bits": 4, "y_bits": 8,
        "value_bits": 9, "acc_bits": 16,
    }  # fmt: skip


def test_vectors_that_are_damaged(tmp_path):
    shipped.write_vectors(tmp_path)
    path = tmp_path / "layers.vectors.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        ValueError, match="^the vectors .*cannot be read .*write them anew: python -m firmware.host.vectors"
    ):
        shipped.read_vectors("layers", tmp_path)


def test_digits(device):
    network, inputs = read_digits(DIGITS, 3)
    done = run_digits(device, network, inputs)
    assert done.exact and done.steps == 24 and (done.results == done.expected).all()
    assert done.counters["steps"] == 24 and 0 < done.port_seconds <= done.run_seconds
    assert classification(done).row_count == 3
    assert speed(done, device.identity).row_count == 7


def test_states_of_another_network(simulated):
    simulated.load(compile_for(shipped.read_vectors("layers")[0], simulated.identity).words)
    wrong = States((np.zeros(12, np.int16),), (np.zeros(12, bool),))
    with pytest.raises(
        ValueError, match=r"^states have h of shapes \[\(12,\)\]; the network's layers have \[12, 10\] units$"
    ):
        simulated.write_states(wrong)


def test_an_error_is_told_until_it_is_cleared(device):
    network, _ = shipped.read_vectors("readout")
    device.load(compile_for(network, device.identity).words)
    with pytest.raises(CoreError, match="^the core met the error INDEX, detail 0xc; see docs/interfaces.md$") as caught:
        device.core.send(Step([(12, 1)]))
        device.core.receive()
    assert (caught.value.error, caught.value.detail) == (Error.INDEX, 12) == device.error
    device.reset()
    assert device.error is None

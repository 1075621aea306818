"""The C driver on the whole simulated core: every output, state and count against the oracle, and what else it does."""

import ctypes

import numpy as np
import pytest

from golden.reference import run
from hw.config import CoreConfig
from hw.errors import Error
from sim import driver
from sim.inputs import Inputs
from sim.top_library import ENDS_SEQUENCE, ENDS_STEP, GOES_ON, NULL_INDEX, Device, DriverError
from tests.networks import random_fixed_network, random_inputs

#: On chip and in external memory; the first with cell units that serve several lanes each.
CONFIGS = {
    "chip": CoreConfig(lanes=6, cell_units=2, rows=16, sources=128, entries=2048, layers=3, acc_bits=24),
    "memory": CoreConfig(lanes=4, cell_units=1, rows=32, sources=128, layers=3, acc_bits=24, gap_bits=5, lists=128),
}
NETWORKS = {
    "readout": dict(inputs=9, layers=[21, 17], outputs=11, weight_density=0.4),
    "no readout": dict(inputs=7, layers=[30], outputs=None, weight_density=0.3),
    "one unit": dict(inputs=1, layers=[1], outputs=1, weight_density=1.0),
}
BASE = 0x0123_4000
OK, INDEX, BUSY, FAULT, OTHER = 0, 4, 7, 12, 22  #: ``enum egret_result``
STEP, ERROR = 1, 2  #: causes of interrupts
WIDE = ctypes.c_uint32


class Case:
    """A random network on a core, and what the oracle says of random inputs."""

    def __init__(self, core, name, seed, *, steps=5, batch=2):
        rng = np.random.default_rng(seed)
        self.config = CONFIGS[core]
        self.network = random_fixed_network(rng, **NETWORKS[name])
        self.compiled = self.config.compile(self.network)
        self.inputs = random_inputs(rng, self.network, steps, batch, 0.5)
        self.trace = run(self.network, self.inputs)
        self.outputs = self.trace.logits if self.trace.logits is not None else self.trace.y[-1]

    def load(self, device):
        if self.config.streamed:
            device.set_lists(BASE, self.compiled.lists.beats.astype("<u8").tobytes() or bytes(16))
        device.load(self.compiled.words)

    def events(self, step, sequence=0):
        return [(int(i), int(self.inputs[step, sequence, i])) for i in np.flatnonzero(self.inputs[step, sequence])]

    def run_step(self, device, step, mark=ENDS_STEP):
        """Run a step of the first sequence; its outputs must be the oracle's."""
        outputs, found = device.run_step(self.events(step), mark)
        np.testing.assert_array_equal(outputs, self.outputs[step, 0])
        assert found.ends_sequence == (mark == ENDS_SEQUENCE)


@pytest.mark.parametrize("core", CONFIGS)
def test_every_output_state_and_count(core):
    with Device(CONFIGS[core]) as device:
        for seed, name in enumerate(NETWORKS):
            case = Case(core, name, seed)
            case.load(device)
            done = driver.run_images(device, case.network, Inputs(case.inputs), case.trace, progress=False)
            assert not any(done.differ.values()), (name, done)
            assert all(done.compared[kind] for kind in ("outputs", "states", "counters"))
            assert device.fault() == (Error.NONE.value, 0)


@pytest.mark.parametrize("core", CONFIGS)
def test_goes_on_from_a_saved_state(core):
    case = Case(core, "readout", 5, steps=8, batch=1)
    with Device(case.config) as device:
        case.load(device)
        for step in range(4):
            case.run_step(device, step)
        saved = device.states()
        assert saved["fires"].any() and not saved["fires"].all()
        for step in (6, 2):  # something else meanwhile, a sequence that stays open
            device.run_step(case.events(step), ENDS_STEP)
        device.restore(saved)
        for step in range(4, 8):
            case.run_step(device, step, ENDS_SEQUENCE if step == 7 else ENDS_STEP)
        assert device.fault() == (Error.NONE.value, 0)


def test_piece_by_piece_with_results_that_wait():
    """Steps are sent until there is no room, without waiting; results are taken meanwhile; nothing is lost."""
    case = Case("chip", "readout", 6, steps=12, batch=1)
    with Device(case.config) as device:
        case.load(device)
        library, egret = device.library, ctypes.byref(device.egret)
        outputs, results = np.zeros(device.egret.network.outputs, np.int32), []
        step = waits = 0
        sent = ctypes.c_size_t(0)
        while len(results) < 12:
            if step < 12:
                events = case.events(step)
                array, mark = device.events(events), ENDS_SEQUENCE if step == 11 else ENDS_STEP
                result = library.egret_send_events(egret, array, ctypes.c_size_t(len(events)), mark, ctypes.byref(sent))
                assert result in (OK, 1)
                waits += result
                if result == OK:
                    step, sent = step + 1, ctypes.c_size_t(0)
                    continue
            if library.egret_receive(egret, *device.array(outputs), None) == OK:
                results.append(outputs.copy())
        assert waits > 0
        np.testing.assert_array_equal(results, case.outputs[:, 0])


def test_refuses_what_is_outside_and_goes_on():
    case = Case("chip", "readout", 7)
    with Device(case.config) as device:
        case.load(device)
        before = device.counter(driver.EVENTS)
        for index in (case.network.inputs, 0x7FFFFFFF, 0x80000000, NULL_INDEX):
            with pytest.raises(DriverError, match="egret_run_step: the event's index is not an input") as refusal:
                device.run_step([(0, 1), (index, 1)], ENDS_STEP)
            assert refusal.value.result == INDEX
        for value in (256, -257, 1 << 31):
            with pytest.raises(DriverError, match="the value does not fit the core"):
                device.run_step([(0, value - (1 << 32) * (value >> 31))], ENDS_STEP)
        damaged = np.array(case.compiled.words)
        damaged[100] ^= 1
        with pytest.raises(DriverError, match="egret_load: the image is damaged"):
            device.load(damaged)
        assert device.counter(driver.EVENTS) == before, "nothing reached the core"
        for step in range(3):
            case.run_step(device, step)
        assert device.fault() == (Error.NONE.value, 0)


def test_state_of_another_image_and_in_the_middle_of_a_step():
    case, other = Case("chip", "readout", 8), Case("chip", "readout", 9)
    with Device(case.config) as device:
        case.load(device)
        device.call("egret_send", WIDE(0), 1, GOES_ON)
        with pytest.raises(DriverError) as refusal:
            device.states()
        assert refusal.value.result == BUSY
        device.call("egret_reset")
        device.image = np.array(other.compiled.words, np.uint32)
        with pytest.raises(DriverError) as refusal:
            device.states()
        assert refusal.value.result == OTHER
        device.image = np.array(case.compiled.words, np.uint32)
        case.run_step(device, 0)


def test_interrupts():
    case = Case("chip", "readout", 10)
    with Device(case.config) as device:
        case.load(device)
        case.run_step(device, 0)
        causes = WIDE()
        device.call("egret_read_interrupts", ctypes.byref(causes))
        assert causes.value == STEP and not device.interrupt, "pending, and not enabled"
        device.call("egret_enable_interrupts", WIDE(STEP))
        assert device.interrupt
        device.call("egret_acknowledge_interrupts", WIDE(STEP))
        assert not device.interrupt
        case.run_step(device, 1)
        assert device.interrupt


def test_the_largest_output_alone():
    case = Case("chip", "readout", 11)
    with Device(case.config) as device:
        case.load(device)
        device.call("egret_set_best_only", ctypes.c_bool(True))
        for step in range(3):
            outputs, found = device.run_step(case.events(step), ENDS_STEP)
            wanted = case.outputs[step, 0]
            best = int(wanted.argmax())
            assert found.count == 1 and outputs[best] == wanted[best] and np.count_nonzero(outputs) <= 1
            assert device.best() == (best, wanted[best])
        device.call("egret_set_best_only", ctypes.c_bool(False))
        case.run_step(device, 3)


def test_external_memory_that_fails_and_the_way_back():
    case = Case("memory", "readout", 12)
    content = case.compiled.lists.beats.astype("<u8").tobytes()
    with Device(case.config, polls=200) as device:
        device.set_lists(BASE, content[:16] * (len(content) // 16))
        device.fill(BASE + (1 << 20), content)  # elsewhere than the core is told
        device.load(case.compiled.words)
        with pytest.raises(DriverError, match="the core met an error") as refusal:
            device.run_step(case.events(0), ENDS_STEP)
        assert refusal.value.result == FAULT and device.fault()[0] == Error.LIST_READ.value
        device.fill(BASE, content)
        device.call("egret_reset")
        for step in range(3):
            case.run_step(device, step)


def test_command(capsys):
    assert driver.main(["--images", "2"]) == 0
    said = capsys.readouterr().out
    assert "0 of 160" in said and "0 of 3,584" in said and "none" in said


def test_command_refuses(capsys):
    assert driver.main(["--images", "0"]) == 2
    assert "give digits or digits:N with N from 1 to 360" in capsys.readouterr().err


def test_command_tells_a_difference(capsys, monkeypatch):
    real = driver.run

    def wrong(network, inputs):
        trace = real(network, inputs)
        trace.logits[3, 0, 4] += 1
        return trace

    monkeypatch.setattr(driver, "run", wrong)
    assert driver.main(["--images", "1"]) == 1
    assert "1 of 80" in capsys.readouterr().out

"""The host's driver against the device's twin: exact on any line, and clear about what fails."""

import random
import sys
from types import SimpleNamespace

import pytest

from firmware.framing import CONTENT_MAX
from firmware.link import Identity, Link, LinkError, Packet, Step
from firmware.operations import Beat, Take
from firmware.serial_port import SerialPort
from hw.counters import counter_map
from hw.errors import Error
from tests.firmware.port import ADDRESS, CONFIG, COUNTERS, END_OF_IMAGE, StepCore, TwinPort
from tests.hw.serial_line import Noise

IMAGE = [*range(1000), END_OF_IMAGE]


def random_steps(rng, count, events_max) -> list[Step]:
    lengths = (rng.randrange(events_max + 1) for _ in range(count))
    return [
        Step([(rng.randrange(1000), rng.randrange(-500, 500)) for _ in range(length)], rng.random() < 0.2)
        for length in lengths
    ]


def answer(step: Step, copies: int = 1) -> Packet:
    events: list[Beat] = [(index, 2 * value) for index, value in step.events for _ in range(copies)]
    return Packet(events, step.ending)


def sent_beats(steps):
    return [
        (*beat, k == len(step.beats), step.ending and k == len(step.beats))
        for step in steps
        for k, beat in enumerate(step.beats, 1)
    ]


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.02])
@pytest.mark.parametrize(("capacity", "events_max", "copies"), [(127, 10, 1), (15, 20, 1), (15, 4, 9), (255, 300, 2)])
def test_everything_is_done_once(capacity, events_max, copies, noise):
    rng = random.Random(f"{capacity} {copies} {noise}")
    core = StepCore(copies=copies)
    noise_of_a_byte = noise * 15 / capacity  # or hardly a long frame would come through
    port = TwinPort(core, capacity=capacity, noise=Noise(rng, noise_of_a_byte), seed=rng.random())
    link = Link(port, attempts=100)
    link.load(IMAGE)
    assert core.image == IMAGE
    steps = random_steps(rng, 60, events_max)
    assert list(link.run(steps)) == [answer(step, copies) for step in steps]
    assert core.sent == sent_beats(steps)
    for step in steps[:10]:
        link.send(step)
        assert link.receive() == answer(step, copies)
    assert bool(link.repetitions) == bool(noise)


def test_many_steps_travel_in_one_request():
    port = TwinPort(StepCore())
    link = Link(port)
    before = port.written
    steps = [Step([(1, 2), (3, 4)])] * 40
    assert list(link.run(steps)) == [answer(step) for step in steps]
    assert port.written - before == 2  # 6 words a step, of 127


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_outputs_are_taken_while_inputs_wait(depth):
    core = StepCore(depth=depth)
    link = Link(TwinPort(core, capacity=15))
    steps = random_steps(random.Random(depth), 12, 15)
    for step in steps:
        link.send(step)
    assert [link.receive() for _ in steps] == [answer(step) for step in steps]
    assert core.sent == sent_beats(steps)


def test_more_than_numbers_last():
    link = Link(TwinPort(StepCore()))
    for value in range(600):
        link.send(Step([(0, value)]))
        assert link.receive() == Packet([(0, 2 * value)], False)


def test_another_host_begins_anew():
    """Whatever number the last request of the host before had."""
    core = StepCore()
    port = TwinPort(core)
    for number in range(6):
        link = Link(port)
        for _ in range(number % 3):
            link.read(0)
        link.write(ADDRESS["load_data"], [number])
    assert core.image == list(range(6))


def test_reset_takes_what_is_left():
    core = StepCore()
    link = Link(TwinPort(core))
    link.set_register("control", argmax_only=1)
    link.send(Step([(1, 2), (3, 4)]))
    link.execute([Take(1)])
    link.reset()
    assert core.resets == 2 and not core.waiting
    assert link.register("control")["argmax_only"] == 1
    link.send(Step([(5, 6)]))
    assert link.receive() == Packet([(5, 12)], False)


def test_identity_and_counters():
    link = Link(TwinPort(StepCore()))
    capacities = ("lanes", "cell_units", "layers", "queue_depth", "rows", "sources", "entries", "weight_bits", "y_bits",
                  "value_bits", "acc_bits")  # fmt: skip
    assert link.identify() == Identity(1, 7, 0x12345678, {name: getattr(CONFIG, name) for name in capacities})
    assert link.counters() == {name: COUNTERS + number for name, number in counter_map(CONFIG).items()}


def test_a_core_without_counters(monkeypatch):
    core = StepCore()
    link = Link(TwinPort(core))
    monkeypatch.setattr(link, "register", lambda name: {"count": 0})
    assert link.counters() == {}


def said(function, *arguments) -> str:
    with pytest.raises(LinkError) as caught:
        function(*arguments)
    return str(caught.value)


class Line:
    """A transport without a device: the same answer to every read."""

    def __init__(self, answer: bytes):
        self._answer = answer

    def write(self, data):
        pass

    def read(self, count, timeout):
        return self._answer[:count]


@pytest.mark.parametrize("answer", [b"", b"\x55" * CONTENT_MAX, b"\x7e"])
def test_nobody_there(answer):
    assert said(Link, Line(answer)) == (
        "no answer to 10 requests; check the port, the baud rate, and that the device is configured"
    )


def test_refusals():
    core = StepCore()
    link = Link(TwinPort(core))
    assert said(link.read, ADDRESS["version"], 3) == "the register at 0x00c refused a read; see docs/registers.md"
    assert said(link.write, 0x8, [1]) == "the register at 0x008 refused a write; see docs/registers.md"
    core.read_only[ADDRESS["magic"]] = 5
    assert said(link.identify) == "MAGIC is 0x00000005, an Egret core's is 0x54524745; check what the device holds"


def test_images_that_are_refused():
    core = StepCore()
    link = Link(TwinPort(core))
    assert said(link.load, IMAGE[:-1]) == "the image of 1000 words has no end; load the whole image"

    def write(address, word):
        if address == ADDRESS["load_data"]:
            core.error, core.detail = Error.LOAD_CONFIG.value, 0xABC
        return StepCore.write(core, address, word)

    core.write = write
    assert said(link.load, IMAGE) == "the core met the error LOAD_CONFIG, detail 0xabc; see docs/interfaces.md"


def test_cores_that_are_stuck():
    core = StepCore()
    link = Link(TwinPort(core))
    assert said(link.receive) == "the core sends no output; send a step first, or reset the core"
    core.room = 1
    assert said(link.send, Step([(1, 1), (2, 2)])) == "the core takes no input and sends no output; reset the core"


def test_errors_in_a_run():
    core = StepCore()
    link = Link(TwinPort(core))
    core.error, core.detail = Error.INDEX.value, 77
    message = "the core met the error INDEX, detail 0x4d; see docs/interfaces.md"
    assert said(lambda: list(link.run([Step([(77, 1)])]))) == message


class TestSerialPort:
    def test_without_pyserial(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "serial", None)
        assert said(SerialPort, "/dev/none", 9600) == "pyserial is not installed; pip install pyserial"

    def test_port_that_is_not_there(self, monkeypatch):
        class SerialException(OSError):
            pass

        def refuse(name, baud, write_timeout):
            raise SerialException("No such file")

        monkeypatch.setitem(sys.modules, "serial", SimpleNamespace(Serial=refuse, SerialException=SerialException))
        assert said(SerialPort, "/dev/none", 9600) == (
            "the port /dev/none does not open (No such file); check its name and who else uses it"
        )

    def test_a_port(self, monkeypatch):
        class Serial:
            """What pyserial's port does, with the device's twin at its other end."""

            def __init__(self, name, baud, write_timeout):
                assert (name, baud) == ("/dev/some", 115200)
                self._line = TwinPort(StepCore())
                self._received = b"old"

            def reset_input_buffer(self):
                self._received = b""

            @property
            def in_waiting(self):
                return len(self._received)

            def write(self, data):
                self._line.write(data)
                while piece := self._line.read(1000, 0):
                    self._received += piece

            def read(self, count):
                assert count <= self.in_waiting or self.timeout
                data, self._received = self._received[:count], self._received[count:]
                return data

            def close(self):
                self.closed = True

        monkeypatch.setitem(sys.modules, "serial", SimpleNamespace(Serial=Serial, SerialException=OSError))
        port = SerialPort("/dev/some", 115200)
        link = Link(port)
        link.load(IMAGE)
        assert list(link.run([Step([(1, 2)])])) == [Packet([(1, 4)], False)]
        port.close()

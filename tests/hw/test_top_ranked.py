"""The top with ranking: largest outputs, the probability of one, and generation, all by registers."""

import random

import cocotb
import numpy as np

from golden import ranking
from golden.reference import Oracle
from hw.config import CoreConfig
from hw.errors import Error
from hw.top import Top
from tests.hw.oracle import expect
from tests.hw.top_bench import Host, events, signed32
from tests.networks import random_fixed_network, random_inputs

CONFIG = CoreConfig(lanes=4, cell_units=2, rows=32, sources=128, layers=3, acc_bits=24, ranked=5)
WORDS = 13


class Setup:
    """A host, and a network whose outputs are words, as its inputs are."""

    def __init__(self, host):
        rng = np.random.default_rng(random.randrange(1 << 32))
        self.host = host
        self.network = random_fixed_network(rng, inputs=WORDS, layers=[20], outputs=WORDS, weight_density=0.5)
        self.compiled = CONFIG.compile(self.network)
        self.inputs = random_inputs(rng, self.network, 5, 1, 0.7)[:, 0]
        self.scale = ranking.scale(self.network.readout.sum_exponent)

    async def load(self):
        await self.host.load(self.compiled.words)
        assert (await self.host.read("status"))["loaded"] and (await self.host.error())[0] == Error.NONE.value
        await self.host.write("logit_scale", multiplier=self.scale.multiplier, shift=self.scale.shift - 1)

    async def compare(self, logits, target):
        """Compare what registers tell of a step with its logits."""
        await self.host.wait_idle()
        indices, values = (part.tolist() for part in ranking.top_k(np.arange(len(logits)), logits, CONFIG.ranked))
        assert await self.host.read("ranking") == {"largest": CONFIG.ranked, "found": len(indices)}
        for rank, (index, value) in enumerate(zip(indices, values, strict=True)):
            await self.host.write("rank_select", rank=rank)
            assert (await self.host.read("rank_index"))["index"] == index
            assert signed32((await self.host.read("rank_value"))["value"]) == value
        told, expected = await self.host.read("target_log2"), ranking.log_probability(logits, target, self.scale)
        assert told["found"] == expected.target_seen
        if told["found"]:
            assert told["log2"] - (told["log2"] >> 25 << 26) == expected.log2
            assert told["saturated"] == expected.saturated
        assert await self.host.best() == (indices[0], values[0])


@cocotb.test()
@cocotb.parametrize(argmax_only=(0, 1))
async def tells_of_each_step(dut, argmax_only):
    """Of all outputs, also where the largest alone leaves."""
    setup = Setup(await Host.start(dut, stall=0.2))
    host = setup.host
    await setup.load()
    await host.write("control", argmax_only=argmax_only)
    trace = Oracle(setup.network).run(setup.inputs[:, None])
    for number, (values, step) in enumerate(zip(setup.inputs, expect(setup.network, [setup.inputs]), strict=True)):
        logits, target = trace.logits[number, 0], random.randrange(WORDS + 1)
        await host.write("target", index=target)
        host.send(events(values), ending=step.ending)
        packet = await host.receive()
        assert packet.values == (dict([step.best]) if argmax_only else step.outputs) and packet.ending == step.ending
        await setup.compare(logits, target)
    assert await host.error() == (0, 0)


@cocotb.test()
async def writes_a_text(dut):
    """Its own, between the host's words; then it stops at the word that ends a text."""
    setup = Setup(await Host.start(dut, stall=0.2))
    host, value = setup.host, 100
    await setup.load()
    await host.write("generate_value", value=value)
    oracle = Oracle(setup.network)
    state, logits = oracle.initial_state(1), None

    def reads(word):
        nonlocal state, logits
        x = np.zeros((1, WORDS), np.int64)
        x[0, word] = value
        trace = oracle.step(x, state)
        state, logits = trace.state, trace.logits[0, 0]
        return dict(enumerate(logits.tolist())), int(logits.argmax())

    word = random.randrange(WORDS)
    expected, best = reads(word)
    host.send(events(np.eye(WORDS, dtype=int)[word] * value))
    assert (await host.receive()).values == expected
    await host.write("generate", limit=7, start=1)
    for _ in range(7):
        expected, best = reads(best)
        assert (await host.receive()).values == expected
    await setup.compare(logits, 0)
    assert await host.read("generated") == {"count": 7, "busy": 0}

    await host.write("generate_end", index=best)
    await host.write("generate", limit=7, start=1, has_end=1)
    await host.wait_idle()
    assert await host.read("generated") == {"count": 0, "busy": 0}
    assert await host.error() == (0, 0)


@cocotb.test()
async def goes_on_after_another_network(dut):
    """What was asked of the one before is forgotten, and events before it are refused as ever, without end."""
    setup = Setup(await Host.start(dut))
    host = setup.host
    for _ in range(100):
        host.send(events([0, 3]))
    await host.source.wait()
    assert (await host.error())[0] == Error.NOT_LOADED.value
    await host.write("control", reset=1)
    await setup.load()
    host.send(events(setup.inputs[0]))
    await host.receive()
    await host.write("generate", limit=60000, start=1)
    assert (await host.read("generated"))["busy"]
    await setup.load()
    assert not (await host.read("generated"))["busy"]
    await host.wait_idle()
    host.sink.clear()
    host.send(events(setup.inputs[0]))
    await host.receive()
    await setup.compare(Oracle(setup.network).run(setup.inputs[:1, None]).logits[0, 0], 0)


def test_top_ranked(simulate):
    simulate(Top(CONFIG))

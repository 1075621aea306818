"""The host's driver in front of a core with ranking, on every way to it: each number is the integer oracle's."""

import math

import numpy as np
import pytest

from firmware.host.network import compile_for
from firmware.host.simulated import open_simulated
from firmware.port import Step
from firmware.requester import LinkError
from golden import ranking
from golden.reference import Oracle
from tests.firmware.host_ports import CONFIG, RANKED, open_way, said
from tests.networks import random_fixed_network, random_inputs

WORDS = 13


@pytest.fixture(params=("simulated", "axi", "uart"))
def device(request, tmp_path):
    with open_way(request.param, RANKED, tmp_path) as device:
        yield device


@pytest.fixture
def simulated():
    with open_simulated(RANKED) as device:
        yield device


def load(device, seed, *, inputs=WORDS):
    """Load a network whose outputs are words, as its inputs are; return its oracle."""
    rng = np.random.default_rng((12, seed))
    network = random_fixed_network(rng, inputs=inputs, layers=[20], outputs=WORDS, weight_density=0.5)
    device.load(compile_for(network, device.identity).words)
    return Oracle(network), random_inputs(rng, network, 9, 1, 0.7)[:, 0], rng


def check_largest(device, logits):
    indices, values = device.ranking.largest()
    wanted = ranking.top_k(np.arange(len(logits)), logits, RANKED.ranked)
    assert (indices == wanted[0]).all() and (values == wanted[1]).all() and len(indices) == RANKED.ranked
    assert device.best == (indices[0], values[0])


def test_largest_outputs(device):
    oracle, inputs, _ = load(device, 1)
    assert [len(part) for part in device.ranking.largest()] == [0, 0]
    logits = oracle.run(inputs[:, None]).logits[:, 0]
    assert (logits < 0).any() and (logits > 0).any()
    for step in range(len(inputs)):
        assert (device.run(inputs[step : step + 1], False) == logits[step]).all()
        check_largest(device, logits[step])


@pytest.mark.parametrize("seed", range(3))
def test_scores(device, seed):
    oracle, inputs, rng = load(device, seed)
    exponent = oracle.network.readout.sum_exponent
    targets = rng.integers(0, WORDS, len(inputs))
    ends = np.arange(len(inputs)) == 4
    told = device.ranking.score(inputs, targets, exponent, ends)
    logits = [oracle.run(part[:, None]).logits[:, 0] for part in (inputs[:5], inputs[5:])]
    scaled = ranking.scale(exponent)
    wanted = [
        ranking.log_probability(step, target, scaled)
        for step, target in zip(np.concatenate(logits), targets, strict=True)
    ]
    assert told == wanted and len({score.log2 for score in told}) > 1
    assert math.isfinite(ranking.perplexity(score.log2 for score in told))
    check_largest(device, logits[1][-1])
    # All outputs leave again, of steps that go on from those that were scored.
    state = oracle.run(inputs[5:, None]).state
    ends[-1] = True
    assert (device.run(inputs[5:], ends[5:]) == oracle.run(inputs[5:, None], state).logits[:, 0]).all()


class Text:
    """What the oracle writes, a word a step; ``values`` are those of a word's events."""

    def __init__(self, oracle, *values):
        self._oracle, self._values = oracle, values
        self.state, self.logits = oracle.initial_state(1), None

    def read(self, x):
        trace = self._oracle.step(np.asarray(x)[None], self.state)
        self.state, self.logits = trace.state, trace.logits[0, 0]

    def read_word(self, word):
        x = np.zeros(self._oracle.network.inputs, int)
        each = len(self._values)
        x[each * word : each * (word + 1)] = self._values
        self.read(x)

    def write(self, limit, end=None):
        words = []
        while len(words) < limit and (best := int(self.logits.argmax())) != end:
            words.append(best)
            self.read_word(best)
        return words


def test_generation(device):
    oracle, inputs, _ = load(device, 4)
    value = 100
    text = Text(oracle, value)
    assert device.ranking.generate(5, value=value).tolist() == [], "no step yet"
    device.run(inputs[:2], False)
    for x in inputs[:2]:
        text.read(x)
    for limit in (7, 1, 0, 30):
        assert device.ranking.generate(limit, value=value).tolist() == text.write(limit)
        check_largest(device, text.logits)
    # The host's own steps go on from there, with all outputs.
    assert (device.states().h[0] == text.state.h[0][0]).all()
    text.read(inputs[2])
    assert (device.run(inputs[2:3], False) == text.logits).all()
    end = int(text.logits.argmax())
    assert device.ranking.generate(7, value=value, end=end).tolist() == [] == text.write(7, end)
    assert device.error is None


def test_generation_that_ends_at_a_word(simulated):
    """After some others, with an end that the text comes to."""
    ended = 0
    for seed in range(8):
        oracle, inputs, _ = load(simulated, seed)
        text = Text(oracle, 90)
        text.read(inputs[0])
        words = text.write(12)
        later = [word for word in words[1:] if word != words[0]]
        if not later:
            continue
        ended += 1
        simulated.run(inputs[:1], False)
        assert simulated.ranking.generate(12, value=90, end=later[0]).tolist() == words[: words.index(later[0])]
    assert ended, "no text has two words"


def test_generation_of_wide_words(simulated):
    oracle, inputs, _ = load(simulated, 5, inputs=2 * WORDS)
    text = Text(oracle, -60, 7)
    text.read(inputs[0])
    simulated.run(inputs[:1], False)
    assert simulated.ranking.generate(9, value=7, high_value=-60).tolist() == text.write(9)
    check_largest(simulated, text.logits)


def test_generation_behind_the_end_of_a_sequence(simulated):
    """Its states start from 0, its first word is still the best output."""
    oracle, inputs, _ = load(simulated, 6)
    text = Text(oracle, 100)
    simulated.run(inputs[:3])
    first = int(oracle.run(inputs[:3, None]).logits[-1, 0].argmax())
    text.read_word(first)
    assert simulated.ranking.generate(4, value=100).tolist() == [first, *text.write(3)]
    assert (simulated.states().h[0] == text.state.h[0][0]).all()


def test_a_core_without():
    with open_simulated(CONFIG) as device:
        assert said(LinkError, lambda: device.ranking) == (
            "this core does not rank its outputs; build one with hw.build --ranked K (docs/ranking.md)"
        )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"limit": -1}, "limit is -1; it must be from 0 to 65535"),
        ({"limit": 65536}, "limit is 65536; it must be from 0 to 65535"),
        ({"value": 1 << 20}, "value is 1048576; it must be from -256 to 255"),
        ({"high_value": -(1 << 20)}, "high_value is -1048576; it must be from -256 to 255"),
        ({"end": WORDS}, "end is 13; it must be from 0 to 12"),
        ({"high_value": 1}, "the network has 13 inputs; to generate its 13 outputs it needs 26"),
    ],
)
def test_what_cannot_be_generated(simulated, options, message):
    load(simulated, 7)
    assert said(ValueError, simulated.ranking.generate, **{"limit": 3, "value": 1, **options}) == message
    assert simulated.counters()["steps"] == 0


def test_what_cannot_be_scored(simulated):
    _, inputs, _ = load(simulated, 8)
    score = simulated.ranking.score
    assert said(ValueError, score, inputs, [0, 1], -9) == "targets are int64 (2,); they must be integers (9,)"
    assert said(ValueError, score, inputs, [WORDS] * 9, -9) == "targets are from 13 to 13; they must be from 0 to 12"
    assert said(ValueError, score, inputs, [0] * 9, 5) == "exponent is 5; it must be from -31 to 0"
    assert simulated.counters()["steps"] == 0


def test_a_step_that_nobody_took(tmp_path):
    """What is told then would be of another step."""
    with open_way("uart", RANKED, tmp_path) as device:
        load(device, 9)
        device.core.send(Step([(0, 5)]))
        message = said(LinkError, device.ranking.largest)
        assert message == "the core does not come to rest; take the outputs of all steps, or reset the core"

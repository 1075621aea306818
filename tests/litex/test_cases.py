"""What the firmware is given, read back as it reads it."""

from functools import partial

import numpy as np
import pytest

from golden.fanout import CompileError
from golden.reference import Oracle
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.config import CoreConfig
from hw.litex import networks
from hw.litex.cases import NAME_BYTES, NO_RESULT, Case, encode
from sim.token_workloads import TOKEN, language_model
from tests.networks import random_fixed_network, random_inputs

CONFIG = CoreConfig(lanes=2, cell_units=1, rows=64, sources=128, layers=3, gap_bits=5, lists=128, acc_bits=28)
SMALL = {"layers": (48, 32), "vocabulary": 60, "activity": (0.25, 0.2)}


def draw(outputs):
    rng = np.random.default_rng(3)
    network = random_fixed_network(rng, inputs=9, layers=[20], outputs=outputs, weight_density=0.4)
    sequences = [random_inputs(rng, network, steps, 1, 0.4)[:, 0] for steps in (2, 3)]
    sequences[1][1] = 0
    return Case("a name that is too long", network, sequences)


@pytest.mark.parametrize("outputs", [5, None])
def test_encode(outputs):
    case = draw(outputs)
    words = np.frombuffer(encode([case], CONFIG), "<u4").tolist()
    name = np.array(words[1:5], "<u4").tobytes()
    assert name == b"a name that is " + b"\0" and len(name) == NAME_BYTES
    assert words[7] == 2
    check_words(words, case, outputs or 20)


@pytest.mark.parametrize(("name", "density"), [("flagship-85", 0.15), ("flagship-95", 0.05)])
def test_language_model(name, density, monkeypatch):
    """As for the bench of streamed lists, and cut to the tokens that are sent, each a dense row."""
    monkeypatch.setattr(networks, "language_model", partial(language_model, **SMALL))
    case = networks.NETWORKS[name](6)
    whole = language_model("", density=density, readout=False, **SMALL)
    (sent,), sequence = case.sequences, whole.inputs(6)
    used = sorted(set(sequence.nonzero()[1].tolist()))
    assert 1 < len(used) < 60 and case.name == name
    assert case.network.inputs == sent.shape[1] == len(used) and ((sent == TOKEN).sum(axis=1) == 1).all()
    first = case.network.layers[0]
    assert (first.kernel == whole.network.layers[0].kernel[used]).all() and (first.kernel != 0).all()
    assert np.mean(first.recurrent_kernel != 0) == pytest.approx(density, abs=0.03)
    found, wanted = Oracle(case.network).run(sent[:, None]), Oracle(whole.network).run(sequence[:, None])
    for y, of_whole in zip(found.y, wanted.y, strict=True):
        assert (y == of_whole).all() and y.any()
    words = np.frombuffer(encode([case], CONFIG), "<u4").tolist()
    assert words[7] == 3
    check_words(words, case, 32)


def check_words(words, case, outputs):
    """Read the words of one case as the firmware does."""
    compiled, network = CONFIG.compile(case.network), case.network
    assert words[0] == 1
    steps, count, groups, _, _, beats, image = words[5:12]
    assert (steps, count) == (sum(map(len, case.sequences)), outputs)
    at = 12 + 4 * beats
    lists = np.array(words[12:at], "<u4").view("<u8").reshape(-1, 2)
    assert (lists == compiled.lists.beats).all()
    assert words[at : at + image] == compiled.words.tolist()
    at += image
    for sequence in case.sequences:
        trace = Oracle(network).run(sequence[:, None])
        for t, values in enumerate(sequence.tolist()):
            events = {}
            while True:
                index, value, marks = words[at : at + 3]
                at += 3
                events[index] = np.uint32(value).astype(np.int32)
                if marks:
                    break
            assert marks == (3 if t == len(sequence) - 1 else 1)
            assert events == ({i: v for i, v in enumerate(values) if v} or {BUS_NULL_INDEX: 0})
            if network.readout:
                wanted = trace.logits[t, 0] & 0xFFFFFFFF
            else:
                wanted = np.array([y or NO_RESULT for y in trace.y[-1][t, 0].tolist()])
            assert words[at : at + count] == wanted.tolist()
            at += count
    assert len(words) == at + 2 * groups


def test_a_network_that_does_not_fit():
    with pytest.raises(CompileError):
        encode([draw(5)], CoreConfig(lanes=2, cell_units=1, rows=8, sources=64, layers=2, gap_bits=5, lists=64))

"""What the firmware is given, read back as it reads it."""

import numpy as np
import pytest

from golden.fanout import CompileError
from golden.reference import Oracle
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.config import CoreConfig
from hw.litex.cases import NAME_BYTES, NO_RESULT, Case, encode
from tests.networks import random_fixed_network, random_inputs

CONFIG = CoreConfig(lanes=2, cell_units=1, rows=32, sources=64, layers=2, gap_bits=5, lists=64, acc_bits=28)


def draw(outputs):
    rng = np.random.default_rng(3)
    network = random_fixed_network(rng, inputs=9, layers=[20], outputs=outputs, weight_density=0.4)
    sequences = [random_inputs(rng, network, steps, 1, 0.4)[:, 0] for steps in (2, 3)]
    sequences[1][1] = 0
    return Case("a name that is too long", network, sequences)


@pytest.mark.parametrize("outputs", [5, None])
def test_encode(outputs):
    case = draw(outputs)
    compiled = CONFIG.compile(case.network)
    words = np.frombuffer(encode([case], CONFIG), "<u4").tolist()
    assert words[0] == 1
    name = np.array(words[1:5], "<u4").tobytes()
    assert name == b"a name that is " + b"\0" and len(name) == NAME_BYTES
    steps, count, groups, _, _, beats, image = words[5:12]
    assert (steps, count, groups) == (5, outputs or 20, 2)
    at = 12 + 4 * beats
    lists = np.array(words[12:at], "<u4").view("<u8").reshape(-1, 2)
    assert (lists == compiled.lists.beats).all()
    assert words[at : at + image] == compiled.words.tolist()
    at += image
    for sequence in case.sequences:
        trace = Oracle(case.network).run(sequence[:, None])
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
            if outputs:
                wanted = trace.logits[t, 0] & 0xFFFFFFFF
            else:
                wanted = np.array([y or NO_RESULT for y in trace.y[-1][t, 0].tolist()])
            assert words[at : at + count] == wanted.tolist()
            at += count
    assert len(words) == at + 2 * groups


def test_a_network_that_does_not_fit():
    with pytest.raises(CompileError):
        encode([draw(5)], CoreConfig(lanes=2, cell_units=1, rows=8, sources=64, layers=2, gap_bits=5, lists=64))

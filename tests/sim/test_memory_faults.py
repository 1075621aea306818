"""What goes wrong in a simulated memory as it is told, and what its port does not allow."""

import numpy as np
import pytest

from sim.memories import DDR3_800, IDEAL, Fault, FaultKind, ideal
from sim.memory_model import MemoryModel
from tests.sim.memory_bench import BASE, faulty, play

TWO_BURSTS = [(BASE, 8), (BASE + 256, 8)]
WHERE = [{"transfer": 11}, {"address": BASE + 256 + 48}]
EITHER = pytest.mark.parametrize("where", WHERE, ids=["by transfer", "by address"])


def without(fault_kind, where, **amount):
    """Return what is seen with a fault and without it."""
    fault = Fault(kind=fault_kind, **where, **amount)
    rng = np.random.default_rng(0)
    return play(faulty(fault), TWO_BURSTS, rng, 0), play(faulty(), TWO_BURSTS, rng, 0)


@EITHER
@pytest.mark.parametrize("response", [2, 3])
def test_error_response(where, response):
    seen, good = without(FaultKind.RESPONSE, where, amount=response)
    assert seen[11] == (good[11][0], (0, response, False))
    assert [*seen[:11], *seen[12:]] == [*good[:11], *good[12:]]


@EITHER
def test_stall(where):
    seen, good = without(FaultKind.STALL, where, amount=9)
    assert [transfer for _, transfer in seen] == [transfer for _, transfer in good]
    late = [a - b for (a, _), (b, _) in zip(seen, good, strict=True)]
    assert late == [0] * 11 + [9] * 5


@EITHER
@pytest.mark.parametrize("memory", [IDEAL, DDR3_800], ids=["ideal", "dram"])
def test_late(where, memory):
    """The first burst that meets it is held up once, each one after it anew."""
    fault = Fault(kind=FaultKind.LATE, **where, amount=9)
    firsts = []
    for model in (faulty(fault, memory=memory), faulty(memory=memory)):
        play(model, TWO_BURSTS, np.random.default_rng(0), 0)
        start = model.cycle
        firsts.append([cycle - start for cycle, _ in play(model, [(BASE + 512, 4)], np.random.default_rng(0), 0)])
    assert np.subtract(*firsts).tolist() == [9] * 4
    seen, good = without(FaultKind.LATE, where, amount=9)
    assert [a - b for (a, _), (b, _) in zip(seen, good, strict=True)] == [0] * 11 + [9] * 5


@EITHER
def test_silence(where):
    model = faulty(Fault(kind=FaultKind.SILENCE, **where))
    addresses, beats = zip(*TWO_BURSTS, strict=True)
    assert len(model.serve(addresses, beats, 4, patience=500)) == 11
    assert not model.ready and model.transfer is None
    model.tick(10_000)
    assert not model.ready and model.transfer is None


@pytest.mark.parametrize("transfer", [7, 11])
def test_last_at_the_wrong_place(transfer):
    seen, good = without(FaultKind.LAST, {"transfer": transfer})
    assert [bool(t.last) for _, t in good] == [k in (7, 15) for k in range(16)]
    assert [bool(t.last) for _, t in seen] == [(k in (7, 15)) != (k == transfer) for k in range(16)]
    assert [(c, t.data) for c, t in seen] == [(c, t.data) for c, t in good]


@pytest.mark.parametrize("address", [BASE - 16, BASE + 1024, 0])
def test_where_nothing_is(address):
    model = faulty()
    ((_, transfer),) = play(model, [(address, 1)], np.random.default_rng(0), 0)
    assert transfer == (0, 3, True) and model.counts.outside == 1 and model.counts.bytes == 0


def test_a_part_of_a_transfer_is_none():
    model = MemoryModel(IDEAL, core_mhz=100, content=np.ones(40, np.uint8))
    got = play(model, [(16, 2)], np.random.default_rng(0), 0)
    assert [transfer.response for _, transfer in got] == [0, 3] and got[1][1].data == 0


def test_what_the_port_does_not_allow():
    model = faulty()
    with pytest.raises(RuntimeError, match="^there is no transfer to take in this cycle$"):
        model.take()
    model = faulty(memory=ideal(1, queue=1))
    model.ask(BASE, 1)
    model.tick()
    with pytest.raises(RuntimeError, match="^the memory accepts no address in this cycle$"):
        model.ask(BASE, 1)

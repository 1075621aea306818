"""The LiteX SoC, simulated as a whole: DRAM is initialised by its CPU, and a network runs from it."""

import numpy as np
import pytest

REASON = "needs LiteX: pip install --editable '.[litex]'"
for module in ("litex", "litedram", "litex_boards", "pythondata_cpu_vexriscv", "ziglang"):
    pytest.importorskip(module, reason=REASON)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")

from hw.config import CoreConfig  # noqa: E402
from tests.networks import random_fixed_network, random_inputs  # noqa: E402

CONFIG = CoreConfig(
    lanes=4, cell_units=2, rows=64, sources=128, layers=3, y_bits=9, value_bits=10, gap_bits=5, lists=128, acc_bits=28
)
CLOCK = 60e6


@pytest.fixture(scope="module")
def cases():
    """One network with a readout, one without, whose last layer's events come out."""
    from hw.litex.cases import Case

    rng, found = np.random.default_rng(7), []
    for name, layers, outputs in (("readout", [48, 20], 30), ("events", [40], None)):
        network = random_fixed_network(
            rng, inputs=20, layers=layers, outputs=outputs, weight_density=0.3, y_bits=9, input_bits=9
        )
        sequences = [random_inputs(rng, network, steps, 1, 0.3)[:, 0] for steps in (3, 1, 2)]
        sequences[0][1] = 0  # a silent step
        found.append(Case(name, network, sequences))
    return found


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("litex")


@pytest.fixture(scope="module")
def outcome(cases, work):
    from hw.litex.simulate import simulate

    return simulate(CONFIG, cases, work, clock=CLOCK)


def test_runs_from_dram(outcome, cases):
    lines = outcome.text.splitlines()
    assert "Memtest OK" in lines and "PASS" in lines and not outcome.violations
    assert outcome.passed
    for case in cases:
        results = next(line for line in lines if line.startswith(f"{case.name}: ") and "results" in line)
        assert results.endswith(", 0 wrong") and "6 steps" in results
        counts = next(line for line in lines if line.startswith(f"{case.name}: events"))
        assert counts.endswith(", 0 counts differ from theory")


def test_reads_every_list_once_an_event(outcome, cases):
    """What the memory port has read are the lists of all events, whole."""
    from golden.reference import Oracle

    for case in cases:
        count, beats = CONFIG.compile(case.network).lists.count, 0
        for sequence in case.sequences:
            trace = Oracle(case.network).run(sequence[:, None])
            active = np.concatenate([sequence[:, None], *trace.y], axis=2)[:, 0] != 0
            beats += int((active * count).sum())
        traffic = outcome.traffic[case.name]
        assert traffic["beats"] == beats
        assert 0 < beats <= traffic["busy"] < traffic["running"]


def test_notices_what_is_wrong_in_dram(outcome, cases, work):
    """With the first weight of every beat of the first network changed, results differ, and it says so."""
    from hw.litex.simulate import run
    from hw.litex.simulated import NAME

    rom = work / "gateware" / f"{NAME}_rom.init"
    text = rom.read_text()
    words = [int(line, 16) for line in text.split()]
    beats = CONFIG.compile(cases[0].network).lists.beats.astype("<u8").view("<u4").reshape(-1).tolist()
    first = next(at for at, word in enumerate(words) if word == beats[0] and words[at : at + len(beats)] == beats)
    for at in range(first, first + len(beats), 4):
        words[at] ^= 0x40 << 16
    try:
        rom.write_text("".join(f"{word:08x}\n" for word in words))
        spoilt = run(work / "gateware" / "verilated" / f"V{NAME}", work / "gateware")
    finally:
        rom.write_text(text)
    assert "FAIL" in spoilt.text.splitlines() and not spoilt.passed
    assert "readout" in spoilt.text


def test_figures_of_a_run():
    from hw.litex.run import FIGURES, figures

    found = figures({"beats": 9000, "bursts": 70, "busy": 25000, "running": 30000, "held": 3}, 4, 50.0)
    assert dict(zip(FIGURES, found, strict=True)) == {
        "steps": "4", "beats": "9,000", "bursts": "70", "busy cycles": "25,000", "beats a busy cycle": "0.360",
        "MB/s": "288", "cycles held": "3", "cycles a step": "7,500", "ms a step": "0.150", "of the peak": "0.60",
    }  # fmt: skip


def test_refuses_a_core_with_its_lists_on_chip():
    from hw.litex.builder import core_verilog

    with pytest.raises(ValueError, match="^gap_bits is 0; it must be 4, 5 or 6, as lists are in the SoC's memory$"):
        core_verilog(CoreConfig())

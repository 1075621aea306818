"""The beats of sequences of events, as the harness reads them from a job."""

import numpy as np
import pytest

from hw.config import CoreConfig
from hw.event import RESTORE_FLAG
from sim.events import Events, pack_beats

CONFIG = CoreConfig(lanes=4, cell_units=2, rows=32, entries=2048, sources=256, layers=4)


def test_events_are_the_beats_of_a_dense_sequence():
    rng = np.random.default_rng(0)
    dense = rng.integers(-256, 256, (30, 7)) * (rng.random((30, 7)) < 0.2)
    assert (dense == 0).all(axis=1).any()  # some steps are silent
    step, index = np.nonzero(dense)
    value = dense[step, index]
    for ends in (True, False):
        beats, steps = pack_beats(CONFIG, [Events(30, step, index, value), dense], ends=ends)
        assert steps == 60
        assert np.array_equal(*np.split(beats, 2))
        assert np.array_equal(beats[: len(beats) // 2], pack_beats(CONFIG, [dense], ends=ends)[0])
    zeros = np.insert(value, 3, 0)
    some = Events(30, np.insert(step, 3, step[3]), np.insert(index, 3, 6), zeros)
    assert np.array_equal(pack_beats(CONFIG, [some])[0], pack_beats(CONFIG, [dense])[0])


def test_restored_units_come_before_the_first_step():
    events = Events(1, np.array([0]), np.array([2]), np.array([5]), np.array([[9, 200], [11, 3]]))
    beats, steps = pack_beats(CONFIG, [events])
    assert steps == 1
    expected = [9 | RESTORE_FLAG | 200 << 16, 11 | RESTORE_FLAG | 3 << 16, 2 | 5 << 16 | 3 << 25]
    assert beats.tolist() == expected


@pytest.mark.parametrize(
    ("steps", "step", "index"),
    [(0, [], []), (2, [0, 2], [0, 0]), (2, [1, 0], [0, 0]), (2, [0], [-1]), (2, [-1], [0]), (2, [0], [1 << 15])],
)
def test_bad_events(steps, step, index):
    message = (
        rf"^sequence 0 has events outside its {steps} steps, out of their order, or of inputs outside \[0, 32767\]"
    )
    with pytest.raises(ValueError, match=message):
        pack_beats(CONFIG, [Events(steps, np.array(step, int), np.array(index, int), np.ones(len(step), int))])
    with pytest.raises(ValueError, match=r"^sequence 0 has values outside \[-256, 255\], which the core takes$"):
        pack_beats(CONFIG, [Events(1, np.array([0]), np.array([0]), np.array([256]))])

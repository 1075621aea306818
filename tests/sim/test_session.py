"""A core that is asked step by step against the oracle, and against one that is given everything at once."""

import numpy as np
import pytest

from golden.macs import theoretical_events, theoretical_macs
from sim.session import Session
from sim.simulator import Simulator
from sim.verilate import SimulationError
from tests.sim.test_simulator import CONFIG, NETWORKS, draw


@pytest.mark.parametrize("name", ["one layer", "no readout", "three layers"])
def test_steps_go_on_from_each_other(name):
    network, image, inputs, trace = draw(2, batch=1, steps=7, **NETWORKS[name])
    macs, events = theoretical_macs(network, trace, inputs), theoretical_events(trace, inputs)
    outputs = trace.logits if trace.logits is not None else trace.y[-1]
    whole = Simulator(CONFIG).run(image, [inputs[:, 0]], mode="isolated")
    with Session(CONFIG, image) as session:
        for t in range(7):
            result = session.step(inputs[t, 0])
            assert np.array_equal(result.dense_outputs(outputs.shape[2]), outputs[t])
            (record,) = result.steps
            groups = len(network.layers) + 1
            assert record["macs"][:groups].tolist() == macs[t, 0].tolist()
            assert record["events"][:groups].tolist() == events[t, 0].tolist()
            h = np.concatenate([h[t, 0] for h in trace.h])
            assert result.updates["h"][np.argsort(result.updates["source"])].tolist() == h.tolist()
            if t < 6:  # the end of a sequence is faster
                latency = record["output"] - record["first_input"]
                assert abs(latency - (whole.steps["output"][t] - whole.steps["first_input"][t])) <= 2


def test_silent_steps_and_bad_values():
    network, image, inputs, trace = draw(3, batch=1, steps=2, **NETWORKS["one layer"])
    with Session(CONFIG, image) as session:
        with pytest.raises(ValueError, match="has values outside"):
            session.step(np.full(network.inputs, 1 << 20))
        assert session.step(np.zeros(network.inputs, int)).steps["events"][0, 0] == 0


def test_refuses_an_image_and_tells_of_the_end():
    image = draw(3, **NETWORKS["one layer"])[1]
    damaged = image.copy()
    damaged[len(image) // 2] ^= 1
    with pytest.raises(SimulationError, match="^the core did not accept the image: error "):
        Session(CONFIG, damaged)
    session = Session(CONFIG, image)
    session._process.kill()
    session._process.wait()
    with pytest.raises(SimulationError, match="^the compiled model has ended$|ended in the middle of its answer$"):
        session.step(np.zeros(6, int))
    session.close()

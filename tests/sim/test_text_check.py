"""How a chunk of a long run is compared with what the oracle expects: each difference is counted, and named."""

import dataclasses
import json

import numpy as np
import pytest

from golden.lm.integer import IntegerModel
from sim.long_run import plan
from sim.simulator import RunResult
from sim.text_check import Theory, compare, nats
from tests.sim.text_models import LAYERS, WORDS, read


@pytest.fixture(scope="module")
def right(small):
    """A chunk with a token before it, what is expected of it, and a core's result that is just that."""
    text = read(small, tokens=12)
    chunk = list(plan(text, 6))[1]
    model = IntegerModel(small.network)
    trace = model.run(chunk.tokens[:, None])
    beats = np.arange(small.network.source_count) % 5
    expected = Theory(small.network, beats).expect(chunk.tokens, trace)
    steps, units = len(chunk.tokens), sum(LAYERS)
    updates = np.zeros(steps * units, [(name, np.int64) for name in ("source", "h", "fires", "y", "cycle")])
    updates["source"] = small.network.inputs + np.tile(np.arange(units), steps)
    for number, name in enumerate(("h", "fires", "y")):
        updates[name] = expected.updates[:, :, number].ravel()
    outputs = np.zeros(steps * WORDS, [(name, np.int64) for name in ("index", "value", "last", "user", "cycle")])
    outputs["index"], outputs["value"] = np.tile(np.arange(WORDS), steps), expected.logits.ravel()
    outputs["last"][WORDS - 1 :: WORDS] = 1
    table = np.zeros(
        steps, [("events", np.int64, 4), ("macs", np.int64, 4), ("output", np.int64), ("first_input", np.int64)]
    )
    table["events"][:, :3], table["macs"][:, :3] = expected.events, expected.macs
    table["output"] = 100 + 10 * np.arange(steps) ** 2
    table["first_input"] = 3
    result = RunResult(outputs, table, updates, {}, 900, 1.0, None, 0, {"bytes": 77})
    return chunk, trace, beats, expected, result


def test_what_is_expected(small, right):
    chunk, trace, beats, expected, _ = right
    for t, token in enumerate(chunk.tokens.tolist()):
        active = [np.flatnonzero(y[t, 0]) for y in trace.y]
        sources = [2 * token, 2 * token + 1, *(400 + active[0]), *(424 + active[1])]
        assert expected.bytes[t] == 16 * beats[sources].sum()
        assert expected.events[t].tolist() == [2, *map(len, active)]


def test_no_difference(small, right):
    chunk, _, _, expected, result = right
    record = compare(small.network, expected, result, chunk, 77)
    assert json.loads(json.dumps(record)) == record
    assert record["first_difference"] is None and not any(record["differences"].values())
    assert record["compared"] == {"updates": 6 * 40, "logits": 6 * 200, "counts": 6 * 6, "reads": 1}
    assert record["cycles"] == [10, 30, 50, 70, 90, 110]
    assert record["macs"] == expected.macs[1:].tolist()
    assert record["bytes"] == expected.bytes[1:].tolist()
    logits = np.ldexp(expected.logits.astype(float), small.network.readout.sum_exponent)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert record["nats"] == pytest.approx(-np.log(probabilities[np.arange(7), chunk.targets])[1:])


@pytest.mark.parametrize(
    ("table", "field", "place", "kind", "named"),
    [
        ("updates", "h", 3 * 40 + 30, "updates", {"token": 8, "layer": 1, "unit": 6, "what": "h, fires, y"}),
        ("updates", "y", 5, "updates", {"token": 5, "layer": 0, "unit": 5, "what": "h, fires, y"}),
        ("outputs", "value", 2 * 200 + 17, "logits", {"token": 7, "layer": "readout", "unit": 17, "what": "logit"}),
        ("steps", "macs", (4, 0), "counts", {"token": 9, "layer": "inputs", "what": "macs"}),
        ("steps", "events", (6, 2), "counts", {"token": 11, "layer": 1, "what": "events"}),
        ("steps", "events", (6, 3), "counts", {"token": 11, "layer": 2, "what": "events"}),
    ],
)  # fmt: skip
def test_each_difference_is_named(small, right, table, field, place, kind, named):
    chunk, _, _, expected, result = right
    wrong = getattr(result, table).copy()
    wrong[field][place] += 1
    record = compare(small.network, expected, dataclasses.replace(result, **{table: wrong}), chunk, 77)
    assert record["differences"] == {"updates": 0, "logits": 0, "counts": 0, "reads": 0, kind: 1}
    found = record["first_difference"]
    assert {name: found[name] for name in named} == named
    assert found["sequence"] == 0
    assert np.abs(np.subtract(found["got"], found["expected"])).sum() == 1


def test_missing_updates_and_other_bytes(small, right):
    chunk, _, _, expected, result = right
    record = compare(small.network, expected, dataclasses.replace(result, updates=result.updates[1:]), chunk, 77)
    assert record["differences"]["updates"] == 280
    assert record["first_difference"] == {"sequence": 0, "token": 5, "what": "updates", "expected": 280, "got": 279}
    record = compare(small.network, expected, result, chunk, 78)
    assert record["differences"] == {"updates": 0, "logits": 0, "counts": 0, "reads": 1}
    assert record["first_difference"] == {
        "sequence": 0, "token": 11, "what": "bytes read in the chunk", "expected": 78, "got": 77,
    }  # fmt: skip


def test_a_logit_that_is_missing_or_comes_twice(small, right):
    chunk, _, _, expected, result = right
    twice = np.insert(result.outputs, 3, result.outputs[3])
    zero = np.flatnonzero(expected.logits == 0)
    for outputs in (twice, *(np.delete(result.outputs, place) for place in zero[:1])):
        record = compare(small.network, expected, dataclasses.replace(result, outputs=outputs), chunk, 77)
        assert record["differences"] == {"updates": 0, "logits": 1, "counts": 0, "reads": 0}
        assert record["first_difference"] == {
            "sequence": 0, "token": 11, "what": "logits", "expected": 1400, "got": len(outputs),
        }  # fmt: skip


def test_the_first_difference_is_the_earliest(small, right):
    chunk, _, _, expected, result = right
    steps, outputs = result.steps.copy(), result.outputs.copy()
    steps["macs"][2, 1] += 1
    outputs["value"][2 * 200 + 3] -= 1
    outputs["value"][5 * 200] -= 1
    wrong = dataclasses.replace(result, steps=steps, outputs=outputs)
    record = compare(small.network, expected, wrong, chunk, 77)
    assert record["differences"] == {"updates": 0, "logits": 2, "counts": 1, "reads": 0}
    assert (record["first_difference"]["token"], record["first_difference"]["unit"]) == (7, 3)


def test_nats_of_large_logits():
    assert nats(np.array([[40000, 0, 0]]), 0, np.array([1])).tolist() == [40000.0]

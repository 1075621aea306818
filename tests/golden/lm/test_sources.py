from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.lm.corpus import load_corpus
from golden.lm.measure import fan_outs
from golden.lm.settings import Settings
from golden.lm.sources import Group, product_law, work
from golden.lm.trainer import Trainer

TINY = Settings(
    embedding=8, layers=(10, 8), epochs=2, batch=4, bptt=9, learning_rate=0.03, sparsity=0.6, prune_to=0.4, seed=3
)


@pytest.fixture(scope="module", params=["egru", "lstm", "transformer"])
def trained(data, request):
    change = {} if request.param == "egru" else {"output_threshold": 0.03 if request.param == "lstm" else 0.3}
    trainer = Trainer(
        replace(TINY, cell=request.param, **change), load_corpus("tiny", data), torch.device("cpu"), "plain"
    )
    for _ in range(2):
        trainer.epoch()
    return trainer


def test_counts_are_those_of_the_measurement(trained):
    inputs, _ = trained.texts["valid"]
    found, record = work(trained.model, inputs, 9), trained.history[-1]
    assert len(found.macs) == inputs.numel()
    assert found.macs.mean() == pytest.approx(record["valid_macs"], rel=1e-6)
    assert (found.macs + found.decoder).mean() == pytest.approx(record["valid_macs_with_decoder"], rel=1e-6)
    assert sum(group.counted for group in found.groups[:-1]) == pytest.approx(record["valid_macs"], rel=1e-6)
    assert found.groups[-1].counted == pytest.approx(found.decoder.mean())


def test_weights_and_dense_counts_of_the_groups_are_those_of_the_layers(trained):
    groups = work(trained.model, trained.texts["valid"][0], 9).groups[:-1]
    assert sum(group.fan_out.sum() for group in groups) == sum(int(w.count_nonzero()) for w in trained.weights.values())
    assert product_law(groups)["dense"] == sum(weight.numel() for weight in trained.weights.values())
    assert product_law(groups)["weight_density"] == pytest.approx(0.4, abs=2e-3)


def test_each_token_pays_for_its_own_events(data):
    trainer = Trainer(TINY, load_corpus("tiny", data), torch.device("cpu"), "plain")
    trainer.epoch()
    inputs = trainer.train_text[0][:5]
    found, costs = work(trainer.model, inputs, 2), fan_outs(trainer.model)
    outputs = trainer.model(inputs).outputs
    for t in range(5):
        for b in (0, 3):
            active = [(y[t, b] > 0).double() for y in outputs]
            word = int(costs.inputs[inputs[t, b]])
            want = word + sum(float(a @ fan.double()) for a, fan in zip(active, costs.layers, strict=True))
            assert found.macs[t * inputs.shape[1] + b] == want


def test_the_product_holds_where_activity_and_lists_are_independent():
    generator = np.random.default_rng(0)
    fan_out, activity = generator.integers(0, 50, 4000).astype(float), generator.random(4000)
    group = Group("a", fan_out, activity, 100)
    assert group.counted == pytest.approx(group.product, rel=0.02) and abs(group.correlation) < 0.05
    busy = Group("b", fan_out, fan_out / 50, 100)
    assert busy.correlation == pytest.approx(1) and busy.counted > 1.2 * busy.product
    assert product_law([busy])["deviation"] == pytest.approx(busy.counted / busy.product - 1)
    both = product_law([group, Group("d", fan_out / 10, np.ones(4000), 100)])
    assert both["deviation"] < -0.2 and both["deviation_by_group"] == pytest.approx(0, abs=0.02)
    assert Group("c", fan_out, np.ones(4000), 100).correlation is None


def test_densities_of_groups_are_weighted_by_their_dense_weights():
    wide, narrow = Group("a", np.full(3, 50.0), np.full(3, 0.1), 100), Group("b", np.full(20, 8.0), np.ones(20), 10)
    law = product_law([wide, narrow])
    assert law["dense"] == 500 and law["weight_density"] == pytest.approx(310 / 500)
    assert law["activity"] == pytest.approx((3 * 100 * 0.1 + 20 * 10) / 500)
    assert law["counted"] == pytest.approx(3 * 50 * 0.1 + 20 * 8)
    assert law["product"] == pytest.approx(500 * law["weight_density"] * law["activity"])

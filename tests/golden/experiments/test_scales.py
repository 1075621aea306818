"""The same commands at every scale: what would be trained, and what is made of it, without training."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from golden.experiments import counted, decay, energy, multiplicativity, others
from golden.experiments.__main__ import NAMES, experiment
from golden.experiments.runner import SCALES, Run, Runner
from golden.lm.sources import Group, Work

METRICS = {
    "perplexity": 99.0, "activity": [0.2, 0.3, 0.4], "macs": 9e6, "macs_of_inputs": 1e6, "macs_with_decoder": 1e7
}  # fmt: skip


class Listing(Runner):
    """A runner that trains nothing: every run has the same figures."""

    def __init__(self, scale, data, out):
        options = {"scale": scale, "corpus": "steps", "data": data, "out": out, "seeds": 3, "epochs": None}
        super().__init__(argparse.Namespace(**options, finetune=None, tokens=None, device="cpu"), Console(quiet=True))
        self.made = {}

    def each_seed(self, name, settings, start=()):
        runs = []
        for seed in self.seeds:
            wanted = replace(settings, seed=seed)
            assert self.made.setdefault(f"{name}-s{seed}", wanted) == wanted, f"{name} is two networks"
            layers = len(settings.layers)
            split = METRICS | {"activity": METRICS["activity"][:layers]}
            metrics = {"valid": split, "test": split, "sparsity": settings.sparsity}
            history = [{"valid_perplexity": 99.0, "valid_activity": split["activity"]}] * 2
            runs.append(Run(f"{name}-s{seed}", wanted, metrics, history, self.options.out))
        return runs


def work_of(runner, run):
    features = Group("embedding", np.array([4.0]), np.ones(1), 30)
    units = Group("layer 0", np.array([5.0, 7.0]), np.array([0.2, 0.3]), 30)
    return Work([features, units, replace(units, name="decoder")], np.ones(9), np.ones(9))


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_has_its_networks_and_names_mean_one_each(scale, data, out, monkeypatch):
    for module in (counted, multiplicativity, energy, others):
        monkeypatch.setattr(module, "work_of", work_of)
    monkeypatch.setattr(decay, "weights_of", lambda runner, run: [np.linspace(-1, 1, 50)])
    runner = Listing(scale, data, out)
    for name in set(NAMES) - {"digits-decay", "characters"}:  # which have one scale
        assert experiment(name).run(runner).rows
    cells = [settings.cell for settings in runner.made.values()]
    assert {cell: cells.count(cell) // 3 for cell in set(cells)} == {"egru": 33, "lstm": 4, "transformer": 3}
    dense, pruned = runner.made["egru-dense-s0"], runner.made["egru-85-s2"]
    assert pruned.sparsity == 0.85 and pruned.epochs == max(1, dense.epochs // 4)
    if scale == "flagship":
        assert (dense.embedding, *dense.layers) == (750, 1350, 1350, 750) and dense.epochs == 1000

import numpy as np
import pytest
import torch

from golden.banks import bank_balanced_masks
from golden.egru import EGRUNetwork
from golden.lanes import deal
from golden.prune import apply_masks, magnitude_masks, prunable, sparsity_of
from golden.quantize import quantize


def network(units=(12, 8), outputs=8):
    torch.manual_seed(0)
    return EGRUNetwork(6, units, outputs)


def entries(mask, gates, banks):
    """Weights that stay, by source and bank, of a mask (sources, gates x units)."""
    units = mask.shape[1] // gates
    bank = np.tile(np.arange(units) % banks, gates)
    return np.stack([mask.numpy()[:, bank == b].sum(axis=1) for b in range(banks)], axis=1)


@pytest.mark.parametrize("sparsity", [0.3, 0.7, 0.9])
def test_each_source_keeps_as_many_weights_in_every_bank(sparsity):
    weights = prunable(network())
    masks = magnitude_masks(weights, sparsity, 4)
    for name, mask in masks.items():
        kept = entries(mask.t(), 1, 4) if name == "readout.weight" else entries(mask, 3, 4)
        assert (kept == kept[:, :1]).all(), name
    counts = [entries(masks["layers.0.recurrent_kernel"], 3, 4)[:, 0], entries(masks["layers.1.kernel"], 3, 4)[:, 0]]
    assert len(set(np.concatenate(counts))) > 1  # lists may be long or short
    apply_masks(weights, masks)
    assert sparsity_of(weights) == pytest.approx(sparsity, abs=3 / 1192)


def test_banks_that_differ_in_size_differ_by_what_they_lack():
    weights = prunable(network((10, 7), 5))
    count = sum(weight.numel() for weight in weights.values())
    for sparsity in (0, 0.2, 0.8):
        masks = bank_balanced_masks(weights, sparsity, 4)
        assert abs(sum(int((~mask).sum()) for mask in masks.values()) - sparsity * count) < 3
        for name, mask in masks.items():
            gates = 1 if name == "readout.weight" else 3
            mask = mask.t() if gates == 1 else mask
            kept, size = entries(mask, gates, 4), entries(torch.ones_like(mask), gates, 4)
            assert (kept == np.minimum(kept.max(axis=1, keepdims=True), size)).all(), name


def test_the_largest_of_each_bank_stay():
    weight = torch.tensor([[1.0, -8, 3, 4, 5, -2, 7, 6]])  # banks of units 0, 2, 4, 6 and 1, 3, 5, 7
    mask = bank_balanced_masks({"a.kernel": weight}, 0.5, 2)["a.kernel"]
    assert mask.tolist() == [[False, True, False, False, True, False, True, True]]


def test_groups_of_all_tensors_are_ranked_together():
    weights = {"a.kernel": torch.full((2, 4), 0.1), "b.kernel": torch.full((2, 4), -1.0)}
    masks = bank_balanced_masks(weights, 0.5, 2)
    assert not masks["a.kernel"].any() and masks["b.kernel"].all()


def test_what_is_pruned_stays_pruned_and_pruning_again_changes_nothing():
    weights = prunable(network())
    before = magnitude_masks(weights, 0.5, 4)
    apply_masks(weights, before)
    after, again = magnitude_masks(weights, 0.8, 4), magnitude_masks(weights, 0.5, 4)
    for name in weights:
        assert not (after[name] & ~before[name]).any()
        assert torch.equal(again[name], before[name])


def test_lanes_are_level_with_units_in_turn():
    model = network((32, 32), 32)
    weights = prunable(model)
    apply_masks(weights, magnitude_masks(weights, 0.6, 8))
    fixed = quantize(model.to_float(), np.random.default_rng(0).normal(size=(20, 4, 6)), weight_bits=8)
    placement = deal(fixed, 8, np.random.default_rng(1).random(6 + 32 + 32))
    assert all((lane == np.arange(32) % 8).all() for lane in placement.lane)

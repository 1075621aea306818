import pytest
import torch

from golden.egru import EGRUNetwork
from golden.prune import apply_masks, magnitude_masks, prunable, sparsities, sparsity_of


def network():
    torch.manual_seed(0)
    return EGRUNetwork(6, (10, 8), 4, vocabulary=20)


def test_prunable_leaves_embedding_biases_and_thresholds_alone():
    names = {f"layers.{layer}.{kind}" for layer in (0, 1) for kind in ("kernel", "recurrent_kernel")}
    assert set(prunable(network())) == names | {"readout.weight"}
    assert set(prunable(network(), readout=False)) == names


@pytest.mark.parametrize("sparsity", [0, 0.31, 0.85, 0.999])
def test_masks_keep_the_globally_largest(sparsity):
    weights = prunable(network())
    count = sum(weight.numel() for weight in weights.values())
    masks = magnitude_masks(weights, sparsity)
    kept = torch.cat([weights[name][mask].abs() for name, mask in masks.items()])
    gone = torch.cat([weights[name][~mask].abs() for name, mask in masks.items()])
    assert len(gone) == round(sparsity * count)
    assert not len(gone) or gone.max() <= kept.min()
    apply_masks(weights, masks)
    assert sparsity_of(weights) == pytest.approx(round(sparsity * count) / count)


def test_pruning_is_global_not_per_tensor():
    weights = {"small": torch.full((10,), 0.1), "large": torch.full((10,), -1.0)}
    masks = magnitude_masks(weights, 0.5)
    assert not masks["small"].any() and masks["large"].all()


def test_what_is_pruned_stays_pruned():
    weights = prunable(network())
    before = magnitude_masks(weights, 0.4)
    apply_masks(weights, before)
    after = magnitude_masks(weights, 0.7)
    for name in weights:
        assert not (after[name] & ~before[name]).any()


def test_masks_hold_during_fine_tuning():
    model = network()
    weights = prunable(model)
    masks = magnitude_masks(weights, 0.8)
    apply_masks(weights, masks)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        model(torch.randint(20, (5, 3))).result.square().sum().backward()
        optimizer.step()
        assert sparsity_of(weights) < 0.8  # AdamW moves zeros too
        apply_masks(weights, masks)
        assert sparsity_of(weights) == pytest.approx(0.8, abs=1e-3)


def test_equal_magnitudes_are_pruned_to_the_exact_count():
    masks = magnitude_masks({"w": torch.ones(4, 5)}, 0.35)
    assert int((~masks["w"]).sum()) == 7


def test_schedule_rises_to_the_target():
    steps = sparsities(0.85, 5)
    assert steps == pytest.approx([0.85 * (1 - ((5 - k) / 5) ** 3) for k in range(1, 6)])
    assert steps == sorted(steps) and steps[-1] == 0.85
    assert sparsities(0.85, 1) == [0.85]


@pytest.mark.parametrize("sparsity", [-0.1, 1, float("nan")])
def test_refuses_a_sparsity_out_of_range(sparsity):
    with pytest.raises(ValueError, match=rf"^sparsity is {sparsity}; it must be at least 0 and less than 1$"):
        magnitude_masks({"w": torch.ones(3)}, sparsity)


def test_refuses_nothing_to_prune():
    with pytest.raises(ValueError, match="^there are no weights to prune$"):
        magnitude_masks({}, 0.5)

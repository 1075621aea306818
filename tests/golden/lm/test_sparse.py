"""Products that pass over zeros against dense ones."""

import pytest
import torch

from golden.lm import sparse
from golden.lm.compiled import CompiledSteps
from golden.lm.native import available
from golden.lm.sparse import SparseWeights, gradient
from golden.lm.steps import Window
from tests.golden.lm.test_recurrence import layers_of, outcome

pytestmark = pytest.mark.skipif(not available(), reason="there is no C compiler")


def random(*shape, density=1.0):
    return torch.randn(shape) * (torch.rand(shape) < density)


@pytest.mark.parametrize("batch", [1, 31, 32, 80])
@pytest.mark.parametrize(("sources", "targets"), [(5, 3), (224, 64), (241, 100), (500, 17)])
def test_product(batch, sources, targets, monkeypatch):
    monkeypatch.setattr(sparse, "DENSITY_MAX", 1.0)
    torch.manual_seed(0)
    weights = SparseWeights(sources, targets)
    matrix, x = random(sources, targets, density=0.2), random(batch, sources + 9)
    out = torch.full((batch + 1, targets), 7.0)
    assert weights.take(matrix)
    weights.product(x[:, 4:-5], out[:-1])
    torch.testing.assert_close(out[:-1], x[:, 4:-5] @ matrix, atol=1e-4, rtol=1e-4)
    assert (out[-1] == 7).all()


def test_weights_are_kept_up_to_date():
    torch.manual_seed(0)
    weights, x, out = SparseWeights(40, 30), random(8, 40), torch.empty(8, 30)
    matrix = random(40, 30, density=0.2)
    moved = matrix.roll(1, 0)  # as many weights, elsewhere
    for step, changed in enumerate((matrix, 2 * matrix, moved, moved * (torch.rand(40, 30) < 0.5), 0 * moved)):
        assert weights.take(changed), step
        weights.product(x, out)
        torch.testing.assert_close(out, x @ changed, atol=1e-5, rtol=1e-5)
    assert not weights.take(random(40, 30))


@pytest.mark.parametrize("count", [1, 64, 130])
@pytest.mark.parametrize(("sources", "targets"), [(3, 64), (50, 150), (7, 5)])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_gradient(count, sources, targets, density, monkeypatch):
    monkeypatch.setattr(sparse, "DENSITY_MAX", 1.0)
    torch.manual_seed(0)
    x, d = random(count, sources, density=density), random(count, targets + 3)
    torch.testing.assert_close(gradient(x, d[:, 3:]), x.t() @ d[:, 3:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("batch", [3, 40])
def test_pruned_layers_are_the_plain_ones(batch):
    layers = layers_of((33, 40, 24))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in layers:
            layer.threshold.fill_(0.4)  # few events
            for weight in (layer.kernel, layer.recurrent_kernel):
                weight.mul_(3 * (torch.rand(weight.shape, generator=generator) < 0.15))
    seen, gradients = outcome(layers, "plain", batch=batch)
    assert all((y != 0).float().mean() < sparse.DENSITY_MAX for y in seen[::4])
    got, got_gradients = outcome(layers, "compiled", batch=batch)
    torch.testing.assert_close(got, seen, rtol=1e-5, atol=3e-6)
    for key, want in gradients.items():
        torch.testing.assert_close(got_gradients[key], want, rtol=1e-4, atol=5e-5)
        if "kernel" in key:
            assert (got_gradients[key][dict(layers.named_parameters())[key] == 0] != 0).any()  # pruned ones have some


def test_steps_choose_by_density():
    window = Window(2, 3, 5, 20, torch.device("cpu"), torch.float32)
    steps = CompiledSteps(window)
    for density, chosen in ((1.0, False), (0.1, True), (0.9, False)):
        window.weight.copy_(random(20, 60, density=density))
        window.weight_back.copy_(window.weight.t())
        steps.forward(0)
        assert steps.sparse is chosen

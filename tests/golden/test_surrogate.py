import pytest
import torch

from golden.surrogate import SURROGATES, Fire


@pytest.mark.parametrize("shape", SURROGATES)
@pytest.mark.parametrize(("dampening", "support"), [(0.7, 1.0), (3.6, 3.6)])
def test_shapes_have_the_same_height_and_area(shape, dampening, support):
    v = torch.linspace(-200, 200, 4_000_001, dtype=torch.float64, requires_grad=True)
    Fire.apply(v, dampening, support, shape).sum().backward()
    assert v.grad.max().item() == pytest.approx(dampening) and v.grad.argmax() == 2_000_000 or shape == "rectangle"
    assert v.grad[2_000_000].item() == pytest.approx(dampening)
    assert v.grad.sum().item() * 1e-4 == pytest.approx(dampening / support, rel=4e-3)  # two have long tails
    torch.testing.assert_close(v.grad, v.grad.flip(0))


@pytest.mark.parametrize("shape", SURROGATES)
def test_a_fire_is_strict_whatever_the_surrogate(shape):
    assert Fire.apply(torch.tensor([-1.0, 0.0, 1e-9]), 1.0, 1.0, shape).tolist() == [0, 0, 1]

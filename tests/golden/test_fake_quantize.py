from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.checkpoint import TrainingError
from golden.data import Dataset, Samples, digits
from golden.egru import EGRUNetwork
from golden.fake_quantize import NetworkGrid, fake_quantize, network_grid, refreshed
from golden.fit import Run, Settings
from golden.quantize import losses, quantize

TINY = Settings(units=12, epochs=10, rounds=2, batch=32, learning_rate=0.001, seed=3, weight_bits=4, quantise_weights=4)


def tiny_dataset():
    whole = digits()
    return Dataset(
        *(Samples(part.inputs[:96], part.labels[:96]) for part in (whole.train, whole.validation, whole.test))
    )


def test_weights_are_rounded_half_up_and_saturated_without_gradient_where_saturated():
    weight = torch.tensor([[0.0, 0.24, 0.25, -0.25], [0.9, -9.0, 9.0, 0.125]], requires_grad=True)
    used = fake_quantize(weight, (-1, -2), 4)
    assert used.tolist() == [[0.0, 0.0, 0.25, -0.25], [1.0, -4.0, 1.75, 0.25]]
    (used * torch.arange(8.0).reshape(2, 4)).sum().backward()
    assert weight.grad.tolist() == [[0, 1, 2, 3], [4, 0, 0, 7]]


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_on_the_grid_are_those_of_the_integers(bits):
    torch.manual_seed(0)
    inputs = np.random.default_rng(0).normal(size=(20, 4, 6))
    model = EGRUNetwork(6, (10, 8), 4, threshold_mean=0.1)
    fixed = quantize(model.to_float(), inputs, weight_bits=bits)
    assert all(np.isfinite(row.ratio) for row in losses(model.to_float(), fixed))
    model.set_grid(network_grid(fixed))
    used = model.to_float()
    for have, layer in zip(used.layers, fixed.layers, strict=True):
        gx, z, r, gh = layer.sum_exponents
        for g, s in enumerate((z, r, gh)):
            columns = slice(g * layer.units, (g + 1) * layer.units)
            want = np.ldexp(layer.recurrent_kernel[:, columns].astype(np.float64), s + fixed.y_bits)
            assert np.array_equal(have.recurrent_kernel[:, columns], want)
    again = quantize(used, inputs, weight_bits=bits)
    assert {row.ratio for row in losses(used, again)} == {np.inf}
    restored = NetworkGrid.of(model.grid.plain())
    assert restored == model.grid
    model.set_grid(None)
    assert not np.array_equal(model.to_float().layers[0].kernel, used.layers[0].kernel)


def test_formats_are_chosen_from_the_first_epoch_on_and_anew_now_and_then():
    assert [epoch for epoch in range(100) if refreshed(epoch, 42, 100)] == list(range(42, 100, 5))
    assert [epoch for epoch in range(4) if refreshed(epoch, 2, 4)] == [2, 3]


def test_digits_train_with_the_weights_of_the_integers(tmp_path):
    run = Run(TINY, tiny_dataset())
    while len(run.history) < TINY.last_phase:
        run.epoch()
    assert run.model.grid is None and 0 < TINY.last_phase < TINY.epochs
    run.epoch()
    run.save(tmp_path / "c")
    other = Run(TINY, tiny_dataset())
    other.load(tmp_path / "c")
    assert other.model.grid == run.model.grid
    while len(run.history) < TINY.epochs:
        assert run.epoch() == other.epoch()
    network = run.model.to_float()
    fixed = quantize(network, run.dataset.train.inputs.swapaxes(0, 1), weight_bits=4)
    assert {row.ratio for row in losses(network, fixed)} == {np.inf}
    values = run.model.state_dict()["layers.0.recurrent_kernel"].numpy()
    assert not np.array_equal(values, network.layers[0].recurrent_kernel)


def test_digits_are_pruned_in_banks():
    run = Run(replace(TINY, banks=4, quantise_weights=0), tiny_dataset())
    for _ in range(TINY.epochs):
        run.epoch()
    mask = (run.model.layers[0].recurrent_kernel != 0).numpy().reshape(12, 3, 3, 4).sum(axis=(1, 2))
    assert (mask == mask[:, :1]).all() and len(np.unique(mask[:, 0])) > 1


def test_bits_that_the_integers_do_not_have_are_refused():
    with pytest.raises(TrainingError, match="^quantise_weights is 8; it must be 0 or weight_bits, 4$"):
        replace(TINY, quantise_weights=8)

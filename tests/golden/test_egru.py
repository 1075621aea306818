from pathlib import Path

import numpy as np
import pytest
import torch

from golden import egru
from golden.egru import EGRU, EGRUNetwork, Fire, WordEmbedding, variational_dropout

EVNN = sorted((Path(__file__).parents[1] / "data" / "evnn").glob("*.npz"))
PARAMETERS = {
    "kernel": "kernel",
    "recurrent_kernel": "recurrent_kernel",
    "bias": "bias",
    "recurrent_bias": "recurrent_bias",
    "threshold": "thr",
}
TOLERANCE = {"rtol": 0, "atol": 1e-10}


def run_reference(path, batch_first=False):
    """Run our layer on a recording of EvNN; return {name: (ours, theirs)} of outputs and gradients."""
    with np.load(path) as file:
        reference = {name: torch.from_numpy(file[name]) for name in file.files}
    inputs, units = reference["kernel"].shape[0], reference["thr"].shape[0]
    # EvNN holds these two in float32, whatever the precision of the layer.
    dampening, support = (reference[name].float().item() for name in ("dampening_factor", "pseudo_derivative_support"))
    layer = EGRU(inputs, units, batch_first=batch_first, dampening=dampening, support=support).double()
    layer.load_state_dict({ours: reference[theirs] for ours, theirs in PARAMETERS.items()})
    x = reference["x"].clone().requires_grad_()
    state = (torch.zeros_like(reference["y0"]), reference["y0"])
    output = layer(x.transpose(0, 1) if batch_first else x, state)
    y, h, o = (value.transpose(0, 1) if batch_first else value for value in output[:3])
    ((y**2).sum() + (h * torch.linspace(-1, 1, units, dtype=torch.float64)).sum()).backward()
    pairs = {"y": (y, reference["y"]), "h": (h, reference["h"]), "o": (o, reference["o"].double())}
    pairs["grad_x"] = (x.grad, reference["grad_x"])
    for ours, theirs in PARAMETERS.items():
        pairs[f"grad_{theirs}"] = (getattr(layer, ours).grad, reference[f"grad_{theirs}"])
    return pairs


def assert_reference(path, **options):
    for name, (ours, theirs) in run_reference(path, **options).items():
        torch.testing.assert_close(ours, theirs, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


def test_reference_files_are_all_there():
    assert [path.stem for path in EVNN] == [
        f"{name}_{seed}" for name in ("digits", "lm", "tiny", "wide") for seed in (1, 2)
    ]


@pytest.mark.parametrize("path", EVNN, ids=lambda path: path.stem)
def test_reproduces_evnn_outputs_and_gradients(path):
    assert_reference(path)


def test_reproduces_evnn_batch_first():
    assert_reference(EVNN[0], batch_first=True)


SEEDED_BUGS = {
    "reset gate before the product": (
        "g = torch.tanh(a_g + r * b_g)",
        "g = torch.tanh(a_g + r * self.recurrent_bias.chunk(3)[2] + ((r * y) @ recurrent_kernel).chunk(3, dim=1)[2])",
    ),
    "z on the new state": ("c = z * h + (1 - z) * g", "c = (1 - z) * h + z * g"),
    "no gradient through the reset": (
        "h = c - o * (c if self.hard_reset else self.threshold)",
        "h = c - o.detach() * self.threshold",
    ),
    "h not reset": ("h = c - o * (c if self.hard_reset else self.threshold)", "h = c"),
    "r and z exchanged": ("(a_z, a_r, a_g), (b_z, b_r, b_g)", "(a_r, a_z, a_g), (b_r, b_z, b_g)"),
    "no support": ("self.dampening, self.support, self.surrogate)", "self.dampening, 0.5)"),
}


@pytest.mark.parametrize("bug", SEEDED_BUGS)
def test_reference_catches_a_seeded_bug(bug, monkeypatch):
    right, wrong = SEEDED_BUGS[bug]
    source = Path(egru.__file__).read_text()
    assert right in source
    broken = {}
    exec(compile(source.replace(right, wrong), "broken_egru.py", "exec"), broken)
    monkeypatch.setitem(globals(), "EGRU", broken["EGRU"])
    with pytest.raises(AssertionError):
        assert_reference(EVNN[4])


def test_matches_torch_gru_cell():
    """c from a given h is torch's GRU with blocks r, z, n reordered; without thresholds h = y = c of a silent unit."""
    torch.manual_seed(1)
    inputs, units = 5, 9
    cell = torch.nn.GRUCell(inputs, units)
    layer = EGRU(inputs, units)
    with torch.no_grad():
        layer.threshold.fill_(1)  # nothing fires: the h returned is c
        for ours, theirs in (("kernel", "weight_ih"), ("recurrent_kernel", "weight_hh")):
            r, z, n = getattr(cell, theirs).chunk(3)
            getattr(layer, ours).copy_(torch.cat((z, r, n)).T)
        for ours, theirs in (("bias", "bias_ih"), ("recurrent_bias", "bias_hh")):
            r, z, n = getattr(cell, theirs).chunk(3)
            getattr(layer, ours).copy_(torch.cat((z, r, n)))
    x, h = torch.randn(4, inputs), torch.rand(4, units) * 2 - 1
    ours = layer(x[None], (h, h)).h[0]
    torch.testing.assert_close(ours, cell(x, h), rtol=0, atol=1e-6)
    torch.testing.assert_close(layer.double()(x[None].double(), (h.double(), h.double())).h[0],
                               cell.double()(x.double(), h.double()), rtol=0, atol=1e-12)  # fmt: skip


def network(**options):
    torch.manual_seed(3)
    return EGRUNetwork(6, (11, 8), 4, threshold_mean=0.1, **options).double()


def test_state_is_carried_across_calls():
    model, x = network(), torch.randn(12, 3, 6, dtype=torch.float64)
    whole = model(x)
    first = model(x[:5])
    second = model(x[5:], first.state)
    # Some processors' matrix products depend in the last bit on how many rows there are.
    exact = {"rtol": 0, "atol": 1e-14}
    torch.testing.assert_close(torch.cat((first.result, second.result)), whole.result, **exact)
    for layer, expected in zip(second.layers, whole.layers, strict=True):
        torch.testing.assert_close(layer.h, expected.h[5:], **exact)
        assert torch.equal(layer.o, expected.o[5:])
    assert not torch.equal(model(x[5:]).result, second.result)


def test_batch_first_and_time_first_agree():
    x = torch.randn(7, 3, 6, dtype=torch.float64)
    time_first, batch_first = network()(x), network(batch_first=True)(x.transpose(0, 1))
    assert torch.equal(time_first.result, batch_first.result.transpose(0, 1))
    assert torch.equal(time_first.layers[1].h, batch_first.layers[1].h.transpose(0, 1))


def test_value_equal_to_threshold_is_silent():
    v = torch.tensor([-1.0, 0.0, torch.finfo(torch.float32).smallest_normal])
    assert Fire.apply(v, 0.7, 1.0).tolist() == [0.0, 0.0, 1.0]


def test_surrogate_gradient_is_a_triangle():
    v = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64, requires_grad=True)
    Fire.apply(v, 0.7, 2.0).sum().backward()
    expected = [0.7 * max(0.0, 1 - 2.0 * abs(value)) for value in v.tolist()]
    torch.testing.assert_close(v.grad.tolist(), expected)


def test_gradients_of_one_step_match_the_formula():
    """With s the surrogate at c - thr: dy/dc = o + c s, dh/dc = 1 - thr s, dy/dthr = -c s, dh/dthr = -o + thr s."""
    layer = EGRU(1, 1).double()
    with torch.no_grad():
        for name, value in (("kernel", 0.0), ("recurrent_kernel", 0.0), ("threshold", 0.3)):
            getattr(layer, name).fill_(value)
    for h0 in (0.9, 0.2):
        layer.zero_grad()
        h = torch.full((1, 1), h0, dtype=torch.float64, requires_grad=True)
        output = layer(torch.zeros(1, 1, 1, dtype=torch.float64), (h, torch.zeros_like(h)))
        (2 * output.y + 3 * output.h).sum().backward()
        c = h0 / 2  # z = 1/2, g = 0
        fires = float(c > 0.3)
        surrogate = 0.7 * (1 - abs(c - 0.3))
        assert output.o.item() == fires
        gradient_c = 2 * (fires + c * surrogate) + 3 * (1 - 0.3 * surrogate)
        assert h.grad.item() == pytest.approx(gradient_c / 2, abs=1e-12)
        gradient_threshold = -2 * c * surrogate + 3 * (-fires + 0.3 * surrogate)
        assert layer.threshold.grad.item() == pytest.approx(gradient_threshold, abs=1e-12)


def test_thresholds_are_drawn_clamped_and_frozen():
    torch.manual_seed(0)
    thresholds = torch.cat([EGRU(1, 200, threshold_mean=0.25).threshold for _ in range(100)])
    assert thresholds.min() >= 0 and thresholds.max() <= 1
    assert thresholds.mean().item() == pytest.approx(0.25, abs=0.01)  # Beta(1, 3): mean 1/4, variance 3/80
    assert thresholds.var().item() == pytest.approx(3 / 80, rel=0.05)
    layer = EGRU(2, 3, train_threshold=False)
    assert not layer.threshold.requires_grad
    layer.threshold.data = torch.tensor([-0.5, 0.5, 1.5])
    layer(torch.zeros(1, 1, 2))
    assert layer.threshold.tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="^threshold_mean is 1; it must be between 0 and 1, both excluded$"):
        EGRU(1, 1, threshold_mean=1)


def test_initialisation():
    torch.manual_seed(0)
    layer = EGRU(200, 100)
    assert layer.kernel.std().item() == pytest.approx((2 / (200 + 300)) ** 0.5, rel=0.02)
    assert layer.recurrent_kernel.std().item() == pytest.approx((2 / (100 + 300)) ** 0.5, rel=0.02)
    assert not layer.bias.any() and not layer.recurrent_bias.any()


def test_dropconnect_drops_recurrent_weights_in_training_only():
    torch.manual_seed(0)
    layer = EGRU(3, 50, dropconnect=0.7).double()
    x = torch.zeros(1, 1, 3, dtype=torch.float64)
    state = (torch.zeros(1, 50, dtype=torch.float64), torch.rand(1, 50, dtype=torch.float64))
    layer.threshold.data.fill_(1)
    layer(x, state).h.sum().backward()
    dropped = (layer.recurrent_kernel.grad == 0).double().mean().item()
    assert dropped == pytest.approx(0.7, abs=0.03)  # 7500 weights: 0.03 is 5.7 standard deviations
    assert not torch.equal(layer(x, state).h, layer(x, state).h)
    layer.eval()
    plain = EGRU(3, 50).double()
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x, state).h, plain(x, state).h)


def test_variational_dropout_keeps_one_mask_over_time():
    torch.manual_seed(0)
    x = torch.ones(9, 20, 50)
    dropped = variational_dropout(x, 0.25, training=True)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.07)
    assert not torch.equal(dropped[:, 0], dropped[:, 1])
    batch_first = variational_dropout(x.transpose(0, 1), 0.25, training=True, time_axis=1)
    assert torch.equal(batch_first, batch_first[:, :1].expand_as(batch_first))
    assert variational_dropout(x, 0.25, training=False) is x


def test_word_dropout_drops_every_occurrence_of_a_word():
    torch.manual_seed(0)
    embedding = WordEmbedding(400, 8, word_dropout=0.5)
    assert embedding.weight.abs().max() <= 0.1
    tokens = torch.arange(400).repeat(3, 1)  # every word three times
    features = embedding(tokens)
    dropped = (features == 0).all(dim=-1)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert dropped[0].float().mean().item() == pytest.approx(0.5, abs=0.15)
    kept = ~dropped[0]
    torch.testing.assert_close(features[0, kept], 2 * embedding.weight[kept])
    assert torch.equal(embedding.eval()(tokens)[0], embedding.weight)


def test_network_with_embedding_drops_between_layers():
    torch.manual_seed(0)
    model = EGRUNetwork(
        6, (16, 16), 5, vocabulary=30, dropout=0.5, word_dropout=0.2, batch_first=True, threshold_mean=0.01
    )
    tokens = torch.randint(30, (4, 7))
    assert model(tokens).result.shape == (4, 7, 5)
    assert not torch.equal(model(tokens).result, model(tokens).result)
    model.eval()
    assert torch.equal(model(tokens).result, model(tokens).result)


@pytest.mark.parametrize("outputs", [None, 4])
def test_float_network_round_trip(outputs):
    torch.manual_seed(5)
    model = EGRUNetwork(6, (11, 8), outputs)
    copy = EGRUNetwork.from_float(model.to_float())
    x = torch.randn(5, 2, 6)
    assert torch.equal(copy(x).result, model(x).result)
    assert model(x).result.shape == (5, 2, outputs or 8)
    model.to_float().layers[0].kernel[:] = 0  # a copy: the model is untouched
    assert model.layers[0].kernel.abs().max() > 0

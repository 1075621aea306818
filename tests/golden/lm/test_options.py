from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.checkpoint import TrainingError
from golden.egru import OPEN
from golden.fake_quantize import NetworkGrid
from golden.layers import ModelError
from golden.lm.corpus import load_corpus
from golden.lm.measure import fan_outs, measure
from golden.lm.settings import Settings
from golden.lm.steps import VERSATILE, check_steps, default_steps
from golden.lm.trainer import Trainer
from golden.lm.weights import load_weights, save_weights
from golden.quantize import losses, quantize

TINY = Settings(embedding=8, layers=(10, 8), epochs=4, batch=4, bptt=9, learning_rate=0.03, seed=3)
CPU = torch.device("cpu")


def trained(data, epochs=None, steps=None, **changes):
    settings = replace(TINY, **changes)
    plain = settings.cell != "egru"
    steps = steps or ("plain" if plain else default_steps(CPU, versatile=settings.versatile))
    trainer = Trainer(settings, load_corpus("tiny", data), CPU, steps)
    for _ in range(settings.epochs if epochs is None else epochs):
        trainer.epoch()
    return trainer


def losses_of(trainer):
    return [record["loss"] for record in trainer.history]


ABLATIONS = {
    "no r": {"reset_gate": False},
    "no z": {"update_gate": False},
    "neither": {"reset_gate": False, "update_gate": False},
    "hard reset": {"hard_reset": True},
    "gaussian": {"surrogate": "gaussian"},
    "hard, fast sigmoid, thresholds": {"hard_reset": True, "surrogate": "fast-sigmoid", "train_threshold": True},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_steps_agree_and_differ_from_the_network_without_ablation(name, data):
    change = {"threshold_mean": 0.1, **ABLATIONS[name]}
    plain, torch_ = (trained(data, 2, steps, **change) for steps in ("plain", "torch"))
    assert losses_of(torch_) == pytest.approx(losses_of(plain), rel=1e-4)
    whole = trained(data, 2, "torch", threshold_mean=0.1)
    assert abs(losses_of(whole)[1] - losses_of(torch_)[1]) > 1e-3


def test_absent_gates_have_no_weights_and_cost_nothing(data):
    trainer = trained(data, 2, reset_gate=False, update_gate=False)
    layer = trainer.model.layers[0]
    assert layer.kernel.shape == (8, 10) and layer.recurrent_kernel.shape == (10, 10)
    network = layer.to_float()
    assert not network.kernel[:, :20].any() and network.kernel[:, 20:].all()
    assert (network.bias[10:20] == OPEN).all() and torch.sigmoid(torch.tensor(OPEN)) == 1
    assert fan_outs(trainer.model).inputs.tolist() == [8 * 10] * 13
    assert network.bias[:10].any()  # the leak is trained


@pytest.mark.parametrize(("absent", "order"), [("reset_gate", "zg"), ("update_gate", "rg")])
def test_weights_of_the_gates_that_are_there_are_in_their_columns(absent, order, data):
    layer = trained(data, 0, **{absent: False}).model.layers[1]
    for name, weight in zip(("kernel", "recurrent_kernel"), layer.weights(), strict=True):
        used = dict(zip("zrg", weight.chunk(3, dim=1), strict=True))
        for gate, block in zip(order, getattr(layer, name).chunk(2, dim=1), strict=True):
            assert torch.equal(used.pop(gate), block)
        assert not used.popitem()[1].any()


def test_a_hard_reset_forgets_what_was_above_the_threshold(data):
    layer = trained(data, 0, hard_reset=True).model.layers[0]
    output = layer(torch.randn(20, 4, 8))
    assert (output.h[output.o == 1] == 0).all() and (output.h[output.o == 0] != 0).all() and output.o.any()
    with pytest.raises(ModelError, match="^a unit's hard reset exists in training alone; train with the soft reset$"):
        layer.to_float()


@pytest.mark.parametrize("name", ["triton", "fused"])
def test_fast_steps_refuse_what_they_do_not_know(name):
    device = torch.device("cuda")
    with pytest.raises(TrainingError) as error:
        check_steps(name, device, versatile=True)
    assert str(error.value) == (
        f"{name} steps know neither a hard reset nor other surrogate gradients; choose plain or torch or torch-graph"
    )
    assert default_steps(device, versatile=True) in VERSATILE and default_steps(CPU, versatile=True) in VERSATILE


def test_penalty_of_the_last_layer_silences_it_alone(data):
    free, quiet = (trained(data, activity_penalty_last=penalty).history[-1]["valid_activity"] for penalty in (0, 3.0))
    assert quiet[1] < 0.6 * free[1] and quiet[0] > 0.7 * free[0]


def test_decoder_reads_fewer_units(data):
    trainer = trained(data, embedding=5, decoded=5)
    assert trainer.history[-1]["loss"] < trainer.history[0]["loss"]
    model = trainer.model
    y = torch.rand(3, 2, 8)
    assert torch.equal(model.decoder_weight(), model.embedding.weight)
    want = y[..., :5] @ model.embedding.weight.t() + model.readout.bias
    torch.testing.assert_close(model.logits(y), want)
    assert fan_outs(model).decoder.tolist() == [13] * 5
    achieved = measure(model, *trainer.texts["valid"], 9)
    assert 0 < achieved["macs_with_decoder"] - achieved["macs"] < 5 * 13


def test_thresholded_lstm_has_silent_units(data):
    dense, silent, same = (trained(data, cell="lstm", output_threshold=t) for t in (0.0, 0.05, 1e-9))
    assert losses_of(same) == pytest.approx(losses_of(dense), rel=1e-4)
    last = silent.history[-1]
    assert all(0.05 < share < 0.95 for share in last["valid_activity"])
    assert last["valid_macs"] < dense.history[-1]["valid_macs"] and last["loss"] < silent.history[0]["loss"]


def test_transformer_learns_and_counts_every_source(data):
    trainer = trained(data, cell="transformer", layers=(12, 12), output_threshold=0.3, sparsity=0.5, prune_to=0.5)
    assert trainer.history[-1]["valid_loss"] < trainer.history[0]["valid_loss"]
    assert set(trainer.weights) == {
        f"layers.{l}.{product}.kernel" for l in (0, 1) for product in ("attend", "project", "expand", "contract")
    }
    work, active = fan_outs(trainer.model), trainer.history[-1]["valid_activity"]
    assert [len(layer) for layer in work.layers] == [36, 36] and all(0.1 < share < 0.9 for share in active)
    assert sum(int(layer.sum()) for layer in work.layers) == round(0.5 * 2 * (8 * 24 + 8 * 8 + 8 * 12 * 2))
    assert trainer.history[-1]["valid_macs"] < sum(int(layer.sum()) for layer in work.layers)


def test_transformer_sees_nothing_later(data):
    model = trained(data, 0, cell="transformer", layers=(12, 12)).model.eval()
    tokens = torch.randint(13, (9, 2), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[6:] = (changed[6:] + 1) % 13
    before, after = (model(text).y for text in (tokens, changed))
    torch.testing.assert_close(before[:6], after[:6])
    assert not torch.allclose(before[6], after[6]) and not torch.allclose(before[5], model(tokens[1:]).y[4])


def test_weights_are_pruned_in_banks(data):
    trainer = trained(data, layers=(12, 8), banks=4, sparsity=0.6, prune_to=0.5)
    mask = (trainer.model.layers[0].recurrent_kernel != 0).numpy().reshape(12, 3, 3, 4).sum(axis=(1, 2))
    assert (mask == mask[:, :1]).all() and len(np.unique(mask[:, 0])) > 1
    assert trainer.history[-1]["sparsity"] == pytest.approx(0.6, abs=4 / 1000)


@pytest.mark.parametrize("bits", [4, 8])
def test_trains_and_writes_weights_on_the_grid(bits, data, tmp_path):
    options = {"quantise_weights": bits, "quantise_from": 0.5, "sparsity": 0.5, "prune_to": 0.4}
    trainer = trained(data, 2, **options)
    assert trainer.model.grid is None
    trainer.epoch()
    trainer.save(tmp_path / "c")
    resumed = trained(data, 0, **options)
    resumed.load(tmp_path / "c")
    assert isinstance(resumed.model.grid, NetworkGrid) and resumed.model.grid == trainer.model.grid
    first, second = trainer.epoch(), resumed.epoch()
    assert (first["loss"], first["valid_loss"]) == (second["loss"], second["valid_loss"])
    paths = save_weights(trainer.model.used_state(), tmp_path / "lm")
    weights = load_weights(paths)
    kernel, recurrent = trainer.model.layers[1].weights()
    assert torch.equal(weights["layers.1.kernel"], kernel) and torch.equal(
        weights["layers.1.recurrent_kernel"], recurrent
    )
    assert len(kernel[:, :8].unique()) <= 1 << bits
    assert torch.equal(weights["layers.0.kernel"], trainer.model.layers[0].kernel.half().float())  # folded: stays real
    used = trainer.model.decoder_weight()
    assert len(used.unique()) <= 1 << bits and not torch.equal(used, trainer.model.embedding.weight)


def test_weights_on_the_grid_are_quantised_without_loss(data):
    trainer = trained(data, quantise_weights=4, quantise_from=0)
    from golden.layers import FloatNetwork

    upper = FloatNetwork((trainer.model.layers[1].to_float(),))
    inputs = np.random.default_rng(0).random((20, 4, 10))
    fixed = quantize(upper, inputs, weight_bits=4, input_bits=9, input_exponent=-8)
    assert {row.ratio for row in losses(upper, fixed)} == {np.inf}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surrogate": "step"}, "surrogate is step; it must be one of triangle, rectangle, gaussian, sigmoid, "),
        ({"cell": "lstm", "hard_reset": True}, "hard_reset is True; a layer of kind lstm has none, leave it out"),
        ({"cell": "lstm", "quantise_weights": 8}, "quantise_weights is 8; a layer of kind lstm has none, leave it out"),
        ({"output_threshold": 0.1}, "output_threshold is 0.1; a layer of kind egru has none, leave it out"),
        ({"decoded": 9}, "decoded is 9; the last layer has 8 units, so lower it"),
        ({"decoded": 5}, "the decoder reads 5 units and the embedding 8 features; a tied decoder needs as many, so "),
        ({"quantise_weights": 5}, "quantise_weights is 5; it must be 0, 4 or 8"),
        ({"quantise_weights": 8, "reset_gate": False}, "weights are quantised in layers with all gates; leave out "),
        ({"cell": "transformer", "embedding": 6}, "embedding is 6; a transformer needs a multiple of its 4 heads"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(TrainingError) as error:
        replace(TINY, **change)
    assert str(error.value).startswith(message)

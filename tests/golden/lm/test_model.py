from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from golden.lm import loss as loss_module
from golden.lm import model as model_module
from golden.lm import recurrence
from golden.lm.loss import CrossEntropy
from golden.lm.lstm import LSTM
from golden.lm.measure import measure
from golden.lm.model import LanguageModel
from golden.lm.native import available
from golden.lm.settings import Settings
from golden.lm.steps import default_steps
from golden.prune import apply_masks, magnitude_masks, prunable

WORDS = 13
SHAPE = {"embedding": 6, "layers": (9, 6)}
DRY = Settings(
    **SHAPE, dropout_word=0, dropout_embedding=0, dropout_layer=0, dropout_output=0, dropconnect=0, threshold_mean=0.1
)  # fmt: skip


def a_model(settings=DRY):
    torch.manual_seed(0)
    model = LanguageModel(WORDS, settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter is not model.embedding.weight and parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
        model.embedding.weight.mul_(10)
    return model


def tokens(steps, batch, seed=0):
    return torch.randint(WORDS, (steps, batch), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", ["plain", "torch"])
@pytest.mark.parametrize("cell", ["egru", "lstm"])
def test_windows_go_on_where_the_last_ended(cell, steps):
    model = a_model(replace(DRY, cell=cell)).eval()
    model.choose(steps, torch.float32)
    text = tokens(12, 3)
    whole = model(text).y
    first = model(text[:5])
    second = model(text[5:], first.state)
    torch.testing.assert_close(torch.cat([first.y, second.y]), whole)
    assert not torch.allclose(model(text[5:]).y, whole[5:])


def test_lstm_is_torchs():
    torch.manual_seed(0)
    ours, theirs = LSTM(5, 7), nn.LSTM(5, 7)
    with torch.no_grad():
        ours.bias.normal_()
        theirs.weight_ih_l0.copy_(ours.kernel.t())
        theirs.weight_hh_l0.copy_(ours.recurrent_kernel.t())
        theirs.bias_ih_l0.copy_(ours.bias)
        theirs.bias_hh_l0.zero_()
    x, state = torch.randn(4, 3, 5), (torch.randn(3, 7), torch.randn(3, 7))
    y, active, (c, last) = ours(x, state)
    want, (want_y, want_c) = theirs(x, (state[1][None], state[0][None]))
    torch.testing.assert_close((y, c, last), (want, want_c[0], want_y[0]))
    assert active.tolist() == [12.0] * 7


WITH_COMPILER = pytest.param(True, marks=pytest.mark.skipif(not available(), reason="there is no C compiler"))


@pytest.mark.parametrize("compiled", [False, WITH_COMPILER])
@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize("size", [3, 16, 75])
def test_cross_entropy_in_chunks_is_the_whole(size, rows, compiled, monkeypatch):
    monkeypatch.setitem(loss_module.CHUNK_BYTES, "cpu", 4 * size * rows)
    monkeypatch.setattr(loss_module, "available", lambda: compiled)
    torch.manual_seed(0)
    values = [torch.randn(shape, dtype=torch.float32, requires_grad=True) for shape in ((10, 6), (size, 6), (size,))]
    words = torch.randint(size, (10,))
    results = []
    for mean in (
        lambda x, weight, bias: functional.cross_entropy(functional.linear(x, weight, bias), words),
        lambda x, weight, bias: CrossEntropy.apply(x, weight, bias, words),
    ):
        loss = mean(*values)
        results.append((loss, *torch.autograd.grad(3 * loss, values)))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("compiled", [False, WITH_COMPILER])
def test_cross_entropy_of_16_bits_is_near(compiled, monkeypatch):
    """In bfloat16 factors and their products have 8 bits; what is added up has more."""
    monkeypatch.setattr(loss_module, "available", lambda: compiled)
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(shape, requires_grad=True) for shape in ((400, 16), (75, 16), (75,)))
    words = torch.randint(75, (400,))
    want = functional.cross_entropy(functional.linear(x, weight, bias), words)
    have = CrossEntropy.apply(x.bfloat16(), weight, bias, words)
    torch.testing.assert_close(have, want, rtol=2e-3, atol=0)
    gradients = (torch.autograd.grad(loss, (x, weight, bias)) for loss in (want, have))
    for wanted, found in zip(*gradients, strict=True):
        assert (wanted - found).norm() < 0.01 * wanted.norm()


@pytest.mark.parametrize("compiled", [False, WITH_COMPILER])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_cross_entropy_of_what_is_not_finite_is_not(value, compiled, monkeypatch):
    monkeypatch.setattr(loss_module, "available", lambda: compiled)
    x = torch.zeros(2, 3)
    x[1, 2] = value
    assert CrossEntropy.apply(x, torch.ones(40, 3), torch.zeros(40), torch.tensor([0, 1])).isnan()


@pytest.mark.parametrize("tied", [True, False])
def test_loss_is_the_cross_entropy_of_logits(tied):
    model = a_model(replace(DRY, tied=tied))
    text = tokens(6, 2)
    y = model(text[:-1]).y
    logits = model.logits(y)
    assert logits.shape == (5, 2, WORDS)
    want = functional.cross_entropy(logits.flatten(0, 1), text[1:].flatten())
    torch.testing.assert_close(model.loss(y, text[1:]), want)
    assert len(prunable(model)) == (4 if tied else 5)


def test_each_dropout_drops_what_it_says():
    text = tokens(7, 2)
    for name in ("dropout_word", "dropout_embedding", "dropout_layer", "dropout_output", "dropconnect"):
        model = a_model(replace(DRY, **{name: 0.5}))
        model.choose("torch", torch.float32)
        dry = model.eval()(text)
        torch.manual_seed(1)
        wet = model.train()(text)
        assert not torch.equal(wet.y, dry.y), name
        changed = [not torch.equal(a, b) for a, b in zip(wet.outputs, dry.outputs, strict=True)]
        want = {"dropout_layer": [False, True], "dropout_output": [False, False]}
        assert changed == want.get(name, [True, True]), name
        if name == "dropout_output":
            kept = wet.y != 0
            torch.testing.assert_close(wet.y[kept], 2 * dry.y[kept])  # one mask for all steps:
            assert bool(((wet.y == 0).all(0) | torch.isclose(wet.y, 2 * dry.y).all(0)).all())


def test_measures_are_counted():
    model = a_model().eval()
    weights = prunable(model)
    apply_masks(weights, magnitude_masks(weights, 0.6))
    inputs, targets = tokens(11, 2), tokens(11, 2, seed=3)
    found = measure(model, inputs, targets, bptt=4)
    whole = measure(model, inputs, targets, bptt=11)
    for name in found:
        assert found[name] == pytest.approx(whole[name], rel=1e-5), name
    output = model(inputs)
    want = functional.cross_entropy(model.logits(output.y).flatten(0, 1), targets.flatten()).item()
    assert found["loss"] == pytest.approx(want, rel=1e-5) and found["perplexity"] == pytest.approx(np.exp(want))
    active = [layer != 0 for layer in output.outputs]
    assert 0.05 < float(active[0].float().mean()) < 0.95
    assert found["activity"] == pytest.approx([float(layer.float().mean()) for layer in active])
    first, second = model.layers
    macs = 22 * int(first.kernel.count_nonzero())
    for step in range(11):
        for row in range(2):
            macs += int(first.recurrent_kernel[active[0][step, row]].count_nonzero())
            macs += int(second.kernel[active[0][step, row]].count_nonzero())
            macs += int(second.recurrent_kernel[active[1][step, row]].count_nonzero())
    assert found["macs"] == pytest.approx(macs / 22)
    assert found["macs_with_decoder"] == pytest.approx(macs / 22 + WORDS * int(active[1].sum()) / 22)
    assert found["sparsity"] == pytest.approx(
        [1 - sum(int(w.count_nonzero()) for w in (l.kernel, l.recurrent_kernel)) / (3 * l.units * (l.units + i))
         for l, i in ((first, 6), (second, 9))]
    )  # fmt: skip


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.3)])  # a fire may differ
def test_cuda_agrees_with_the_processor(dtype, tolerance):
    text = tokens(12, 4)
    found = []
    for device, steps, kind in (("cpu", "plain", torch.float32), ("cuda", default_steps(torch.device("cuda")), dtype)):
        model = a_model().to(device)
        model.choose(steps, kind)
        for _ in range(3):  # eagerly, captured, replayed
            model.zero_grad()
            loss = model.loss(model(text[:-1].to(device)).y, text[1:].to(device))
            loss.backward()
        found.append({name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None})
        found[-1]["loss"] = loss.detach().cpu()
        found[-1]["perplexity"] = torch.tensor(measure(model, text[:-1].to(device), text[1:].to(device), 5)["loss"])
    assert set(found[0]) == set(found[1])
    for name, want in found[0].items():
        assert (found[1][name] - want).norm() <= tolerance * want.norm(), name


@pytest.mark.parametrize("tied", [True, False])
def test_padding_changes_nothing(tied, monkeypatch):
    text = tokens(12, 4)
    found = []
    for steps in ("plain", "torch"):
        model = a_model(replace(DRY, tied=tied))
        model.choose(steps, torch.float32)
        state, record = None, {}
        for part, words in ((text[:5], text[1:6]), (text[5:11], text[6:])):
            output = model(part, state)
            state = output.state
            (model.loss(output.y, words) + sum(fires.square().sum() for fires in output.fires) * 1e-3).backward()
            record |= {f"fires {n} of {len(part)}": fires.detach() for n, fires in enumerate(output.fires)}
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        measured = measure(model, text[:-1], text[1:], 4)
        found.append(record | gradients | {name: torch.tensor(value) for name, value in measured.items()})
        for module in (recurrence, model_module):
            monkeypatch.setattr(module, "padded", lambda width, device: -(-width // 16) * 16)  # as on CUDA
    assert output.y.shape[2] == 16
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)

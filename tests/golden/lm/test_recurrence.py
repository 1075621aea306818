import copy
import importlib.util
import os

import pytest
import torch
from torch.nn import functional

from golden.egru import EGRU
from golden.lm.compiled import available
from golden.lm.recurrence import Program, Recurrence, Window, padded

STEPS_COUNT, BATCH, INPUTS, UNITS = 6, 3, 5, 7
CUDA = torch.cuda.is_available()
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and importlib.util.find_spec("triton") is not None
CONDITIONS = {
    "torch": (True, ""),
    "compiled": (available(), "there is no C compiler"),
    "triton": (CUDA or INTERPRETED, "there is no CUDA device, and no Triton with TRITON_INTERPRET=1"),
    "torch-graph": (CUDA, "there is no CUDA device"),
    "triton-graph": (CUDA, "there is no CUDA device"),
}


def those(*names):
    return [
        pytest.param(name, marks=pytest.mark.skipif(not works, reason=reason))
        for name, (works, reason) in CONDITIONS.items()
        if name in names or not names
    ]


def device_of(name):
    return torch.device("cuda" if CUDA and name.startswith(("triton", "torch-")) and not INTERPRETED else "cpu")


def a_layer(inputs=INPUTS, units=UNITS, **options):
    torch.manual_seed(0)
    layer = EGRU(inputs, units, threshold_mean=0.1, dampening=1.3, support=0.9, **options)
    with torch.no_grad():
        for parameter in (layer.bias, layer.recurrent_bias):
            parameter.normal_(std=0.5)
        layer.kernel.mul_(2)
    return layer


def outcome(layer, steps, inputs=INPUTS, windows=4, dtype=torch.float32):
    """Events, states and all gradients of a loss over ``windows`` windows, the state carried on between them."""
    device = device_of(steps)
    layer = copy.deepcopy(layer).to(device)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(windows, STEPS_COUNT, BATCH, inputs, generator=generator).requires_grad_()
    weights = torch.randn(STEPS_COUNT, BATCH, layer.units, generator=generator).to(device)
    units = torch.linspace(-1, 1, layer.units, device=device)
    recurrence, state, seen = Recurrence(layer, steps, dtype), None, []
    for window in functional.pad(x.to(device, dtype), (0, padded(inputs, device) - inputs)):
        y, fires, state = recurrence(window, state)
        y, state = y[..., : layer.units], tuple(part.detach() for part in state)
        seen += [part.detach().cpu()[..., : layer.units] for part in (y, fires, *state)]
        ((y * weights).sum() + (fires * units).sum() * 0.1).backward()
    gradients = {name: parameter.grad.cpu() for name, parameter in layer.named_parameters()}
    return seen, {"x": x.grad, **gradients}


@pytest.mark.parametrize("name", those())
@pytest.mark.parametrize("shape", [(INPUTS, UNITS), (33, 40)])
def test_function_is_the_plain_layer(name, shape):
    layer = a_layer(*shape)
    seen, gradients = outcome(layer, "plain", shape[0])
    assert 0.1 < float((seen[0] > 0).float().mean()) < 0.9
    got, got_gradients = outcome(layer, name, shape[0])
    for have, want in zip(got, seen, strict=True):
        torch.testing.assert_close(have, want, rtol=1e-5, atol=2e-6)
    assert set(got_gradients) == {"x", "kernel", "recurrent_kernel", "bias", "recurrent_bias", "threshold"}
    for key, want in gradients.items():
        assert want.abs().max() > 0.01
        torch.testing.assert_close(
            got_gradients[key], want, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
        )


@pytest.mark.parametrize("name", those("torch", "compiled"))
def test_dropped_weights_are_those_of_the_plain_layer(name):
    layer = a_layer(dropconnect=0.5)
    runs = []
    for steps in ("plain", name):
        torch.manual_seed(5)
        runs.append(outcome(layer, steps))
    torch.testing.assert_close(runs[0][0], runs[1][0], rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(runs[0][1]["recurrent_kernel"], runs[1][1]["recurrent_kernel"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", those("torch", "triton", "torch-graph", "triton-graph"))
def test_bfloat16_products_are_near(name):
    layer = a_layer(33, 40)
    _, want = outcome(layer, "plain", 33, windows=3)
    _, have = outcome(layer, name, 33, windows=3, dtype=torch.bfloat16)
    for key in ("x", "kernel", "recurrent_kernel", "bias"):
        assert (have[key] - want[key]).norm() < 0.1 * want[key].norm(), key


def test_a_fire_at_the_threshold_is_silent():
    window = Window(1, 1, 2, torch.device("cpu"), torch.float32)
    window.a[0, 0] = torch.tensor([0.5, 0.5, -40.0, -40.0, 0.0, 0.0])  # g, then z = 0: c = tanh(0.5)
    c = torch.tanh(torch.tensor(0.5))
    window.threshold[:] = torch.stack([c, torch.nextafter(c, torch.tensor(0.0))])
    Program(window, "torch").forward()
    assert window.y[1, 0].tolist() == [0.0, c.item()]


def test_a_late_backward_pass_is_refused():
    recurrence = Recurrence(a_layer(), "torch")
    y, _, _ = recurrence(torch.randn(STEPS_COUNT, BATCH, INPUTS), None)
    recurrence(torch.randn(STEPS_COUNT, BATCH, INPUTS), None)
    with pytest.raises(RuntimeError, match="^a window's backward pass must come before the next forward pass"):
        y.sum().backward()

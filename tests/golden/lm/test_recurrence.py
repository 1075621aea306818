import copy
import importlib.util
import os
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from golden.egru import EGRU
from golden.lm import program
from golden.lm.native import available
from golden.lm.program import Program
from golden.lm.recurrence import Recurrence, StackOutput, padded
from golden.lm.steps import Window
from golden.surrogate import SURROGATES

STEPS_COUNT, BATCH = 6, 3
CUDA = torch.cuda.is_available()
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and importlib.util.find_spec("triton") is not None
CONDITIONS = {
    "torch": (True, ""),
    "compiled": (available(), "there is no C compiler"),
    "triton": (CUDA or INTERPRETED, "there is no CUDA device, and no Triton with TRITON_INTERPRET=1"),
    "fused": (CUDA or INTERPRETED, "there is no CUDA device, and no Triton with TRITON_INTERPRET=1"),
    "torch-graph": (CUDA, "there is no CUDA device"),
    "triton-graph": (CUDA, "there is no CUDA device"),
    "fused-graph": (CUDA, "there is no CUDA device"),
}


def those(*names):
    return [
        pytest.param(name, marks=pytest.mark.skipif(not works, reason=reason))
        for name, (works, reason) in CONDITIONS.items()
        if name in names
    ]


def device_of(name):
    return torch.device(
        "cuda" if CUDA and name.startswith(("triton", "fused", "torch-")) and not INTERPRETED else "cpu"
    )


def layers_of(widths, **options):
    torch.manual_seed(0)
    layers = [
        EGRU(inputs, units, threshold_mean=0.1, dampening=1.3, support=0.9, **options)
        for inputs, units in zip(widths, widths[1:], strict=False)
    ]
    with torch.no_grad():
        for layer in layers:
            for parameter in (layer.bias, layer.recurrent_bias):
                parameter.normal_(std=0.5)
            layer.kernel.mul_(2)
    return nn.ModuleList(layers)


def plain(layers, x, state):
    """The layers one after the other, as golden.egru defines them."""
    outputs = []
    for l, layer in enumerate(layers):
        outputs.append(layer(outputs[-1].y if l else x, None if state is None else state[l]))
    return StackOutput(
        [output.y for output in outputs],
        [output.o.sum((0, 1)) for output in outputs],
        [output.state for output in outputs],
    )


def outcome(layers, steps, windows=4, dtype=torch.float32, batch=BATCH, **options):
    """Events, fires, states and all gradients of a loss over ``windows`` windows, the state carried on between them."""
    device = device_of(steps)
    layers = copy.deepcopy(layers).to(device)
    inputs, units = layers[0].kernel.shape[0], layers[-1].units
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(windows, STEPS_COUNT, batch, inputs, generator=generator).requires_grad_()
    weights = torch.randn(STEPS_COUNT, batch, units, generator=generator).to(device)
    run = partial(plain, layers) if steps == "plain" else Recurrence(layers, steps, dtype, **options)
    state, seen = None, []
    for window in functional.pad(x.to(device, dtype), (0, padded(inputs, device) - inputs)):
        output = run(window, state)
        state = [(h.detach(), y.detach()) for h, y in output.state]
        for layer, y, fires, (h, last) in zip(layers, output.outputs, output.fires, state, strict=True):
            seen += [part.detach().cpu()[..., : layer.units] for part in (y, fires, h, last)]
        loss = (output.outputs[-1][..., :units] * weights).sum()
        for fires in output.fires:
            loss = loss + (fires * torch.linspace(-1, 1, len(fires), device=device)).sum() * 0.1
        loss.backward()
    return seen, {"x": x.grad, **{name: parameter.grad.cpu() for name, parameter in layers.named_parameters()}}


@pytest.mark.parametrize("name", those("torch", "compiled", "triton", "torch-graph", "triton-graph"))
@pytest.mark.parametrize("widths", [(5, 7), (33, 40), (6, 9, 8, 5)])
def test_function_is_the_plain_layers(name, widths):
    layers = layers_of(widths)
    seen, gradients = outcome(layers, "plain")
    assert all(0.1 < float((y > 0).float().mean()) < 0.9 for y in seen[::4])
    got, got_gradients = outcome(layers, name)
    torch.testing.assert_close(got, seen, rtol=1e-5, atol=3e-6)
    assert len(got_gradients) == 1 + 5 * len(layers)
    for key, want in gradients.items():
        assert want.abs().max() > 0.01
        torch.testing.assert_close(
            got_gradients[key], want, rtol=1e-4, atol=2e-5, msg=lambda text, key=key: f"{key}: {text}"
        )


@pytest.mark.parametrize("name", those("torch", "compiled"))
@pytest.mark.parametrize("hard_reset", [False, True])
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_resets_and_surrogate_gradients_are_those_of_the_plain_layers(name, hard_reset, surrogate):
    layers = layers_of((33, 40, 20), surrogate=surrogate, hard_reset=hard_reset)
    seen, gradients = outcome(layers, "plain")
    got, got_gradients = outcome(layers, name)
    torch.testing.assert_close(got, seen, rtol=1e-5, atol=3e-6)
    for key, want in gradients.items():
        torch.testing.assert_close(
            got_gradients[key], want, rtol=1e-4, atol=2e-5, msg=lambda text, key=key: f"{key}: {text}"
        )
    layers = layers_of((33, 40, 20), surrogate="triangle" if surrogate == "gaussian" else "gaussian")
    _, others = outcome(layers, "plain")
    assert (others["0.kernel"] - gradients["0.kernel"]).norm() > 0.01 * gradients["0.kernel"].norm()


@pytest.mark.parametrize("size", [1, 2, 4])
def test_chunks_change_nothing(size, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "device_of", lambda name: torch.device("cpu"))
    layers = layers_of((6, 9, 8, 5))
    want = outcome(layers, "torch")
    monkeypatch.setattr(program, "Wavefront", Chunked)
    monkeypatch.setattr(Program, "_capture", staticmethod(lambda run: SimpleNamespace(replay=run)))
    torch.testing.assert_close(outcome(layers, "torch-graph", chunk=size), want, rtol=1e-5, atol=2e-6)


class Chunked(program.Wavefront):
    """A wavefront on one stream, as there is no CUDA."""

    def __init__(self, layers, on):
        super().__init__(layers, False)


@pytest.mark.parametrize("name", those("torch", "compiled"))
def test_dropped_weights_are_those_of_the_plain_layer(name):
    layers = layers_of((5, 7), dropconnect=0.5)
    runs = []
    for steps in ("plain", name):
        torch.manual_seed(5)
        runs.append(outcome(layers, steps))
    torch.testing.assert_close(*runs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", those("torch", "compiled", "triton", "fused", "torch-graph", "triton-graph", "fused-graph")
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.05)])
@pytest.mark.parametrize("batch", [3, 20, 40])
def test_factors_of_16_bits_are_near(name, dtype, tolerance, batch):
    if name == "compiled" and dtype == torch.float16:
        pytest.skip("factors of compiled steps are float32 or bfloat16")
    if INTERPRETED and name == "fused" and dtype == torch.bfloat16:
        pytest.skip("Triton's interpreter has no products of bfloat16")
    layers = layers_of((33, 100))
    _, want = outcome(layers, "plain", windows=3, batch=batch)
    _, have = outcome(layers, name, windows=3, batch=batch, dtype=dtype)
    for key in ("x", "0.kernel", "0.recurrent_kernel", "0.bias"):
        assert (have[key] - want[key]).norm() < tolerance * want[key].norm(), key


@pytest.mark.parametrize("name", those("torch-graph", "triton-graph", "fused-graph"))
def test_layers_side_by_side_in_a_graph_are_the_plain_layers(name):
    """Chunks of two steps, so that streams wait for each other, in graphs that are captured and replayed."""
    layers = layers_of((33, 48, 40, 33))
    _, gradients = outcome(layers, "plain", windows=6)
    dtype, tolerance = (torch.float16, 0.05) if name == "fused-graph" else (torch.float32, 1e-4)
    _, got = outcome(layers, name, windows=6, dtype=dtype, chunk=2)
    for key, want in gradients.items():
        assert (got[key] - want).norm() < tolerance * want.norm(), key


def test_a_fire_at_the_threshold_is_silent():
    window = Window(1, 1, 2, 2, torch.device("cpu"), torch.float32)
    window.bias[:] = torch.tensor([0.5, 0.5, -40.0, -40.0, 0.0, 0.0, 0.0, 0.0])  # g, then z = 0: c = tanh(0.5)
    c = torch.tanh(torch.tensor(0.5))
    window.threshold[:] = torch.stack([c, torch.nextafter(c, torch.tensor(0.0))])
    Program([window], "torch").forward()
    assert window.y[1, 0].tolist() == [0.0, c.item()]


def test_a_late_backward_pass_is_refused():
    run = Recurrence(layers_of((5, 7)), "torch", torch.float32)
    x = torch.randn(STEPS_COUNT, BATCH, 5)
    y = run(x).outputs[-1]
    run(x)
    with pytest.raises(RuntimeError, match="^a window's backward pass must come before the next forward pass"):
        y.sum().backward()


@pytest.mark.skipif(not available(), reason="there is no C compiler")
def test_compiled_factors_of_16_bits_round_as_pytorch_does():
    """One step, so that no rounding has an effect on a fire: y is c to the nearest, and gradients are, too."""
    windows = []
    for name in ("torch", "compiled"):
        torch.manual_seed(0)
        window = Window(1, 50, 3, 40, torch.device("cpu"), torch.bfloat16)
        for buffer in (window.kernel, window.weight, window.bias, window.x, window.h[0], window.y[0]):
            buffer.normal_()
        window.threshold.fill_(0.1)
        window.dampening, window.support = 1.3, 0.9
        program = Program([window], name)
        program.forward()
        window.dy.normal_(generator=torch.Generator().manual_seed(1))
        program.backward()
        windows.append(window)
    want, have = windows
    fires = want.c[0] > want.threshold
    assert torch.equal(have.y[1].float(), (have.c[0] * fires).bfloat16().float()) and 0.1 < fires.float().mean() < 0.9
    torch.testing.assert_close(have.c, want.c, rtol=1e-5, atol=3e-6)
    torch.testing.assert_close(have.h, want.h, rtol=1e-5, atol=3e-6)
    torch.testing.assert_close(have.dh, want.dh, rtol=1e-4, atol=1e-5)
    one_ulp = 2.0**-7
    torch.testing.assert_close(have.d.float(), want.d.float(), rtol=one_ulp, atol=1e-5)


@pytest.mark.skipif(not available(), reason="there is no C compiler")
def test_not_a_number_survives_compiled_steps_of_16_bits():
    window = Window(1, 1, 2, 17, torch.device("cpu"), torch.bfloat16)
    window.bias[:17] = torch.nan
    window.dy.fill_(torch.nan)
    program = Program([window], "compiled")
    program.forward()
    program.backward()
    assert window.h[1].isnan().all() and window.d[0, 0, :17].isnan().all()

"""What a language model achieves: perplexity, activity, and multiply-accumulates (MACs) a token, counted.

A MAC is counted for each non-zero weight of an active source, as in :mod:`golden.macs`: the embedding's features are
always active, a unit where it fires. Recurrent layers are counted by themselves, and with the decoder.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from golden.lm.model import LanguageModel


@torch.no_grad()
def measure(model: LanguageModel, inputs: Tensor, targets: Tensor, bptt: int) -> dict[str, Any]:
    """Run over tokens (steps, B), the state carried from window to window, and return what the model achieves.

    perplexity; activity, of each layer; sparsity, of each layer's weights; macs and macs_with_decoder, a token.
    """
    model.eval()
    state, losses, fires = None, [], []
    for x, y in zip(inputs.split(bptt), targets.split(bptt), strict=True):
        output = model(x, state)
        state = output.state
        losses.append(model.loss(output.y, y) * y.numel())
        fires.append(output.fires)
    tokens = targets.numel()
    loss = torch.stack(losses).double().sum().item() / tokens
    active = [torch.stack(layer).double().sum(0) / tokens for layer in zip(*fires, strict=True)]  # (H,), share of steps
    macs, decoder = count(model, active)
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),
        "activity": [layer.mean().item() for layer in active],
        "sparsity": [_sparsity(layer.kernel, layer.recurrent_kernel) for layer in model.layers],
        "macs": macs,
        "macs_with_decoder": macs + decoder,
    }


def count(model: LanguageModel, active: list[Tensor]) -> tuple[float, float]:
    """Return the MACs a token of the recurrent layers, and of the decoder, for the active share of each unit (H,)."""
    macs = float(model.layers[0].kernel.count_nonzero())
    for index, (layer, share) in enumerate(zip(model.layers, active, strict=True)):
        fan_out = layer.recurrent_kernel.count_nonzero(1)
        if index + 1 < len(model.layers):
            fan_out = fan_out + model.layers[index + 1].kernel.count_nonzero(1)
        macs += float(share @ fan_out.double())
    weight = model.embedding.weight if model.readout.weight is None else model.readout.weight
    return macs, float(active[-1] @ weight.count_nonzero(0).double())


def _sparsity(*weights: Tensor) -> float:
    return 1 - sum(int(weight.count_nonzero()) for weight in weights) / sum(weight.numel() for weight in weights)

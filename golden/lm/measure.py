"""What a language model achieves: perplexity, activity, and multiply-accumulates (MACs) a token, counted.

A MAC is counted for each non-zero weight of an active source, as in :mod:`golden.macs`: the embedding's features are
always active, a character where it comes, a unit where it fires. Layers are counted by themselves, and with the
decoder. A transformer's products of queries, keys and values are of no weights, and not counted.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from golden.lm.model import LanguageModel
from golden.prune import prunable, sparsity_of


@torch.no_grad()
def measure(model: LanguageModel, inputs: Tensor, targets: Tensor, bptt: int) -> dict[str, Any]:
    """Run over tokens (steps, B), the state carried from window to window, and return what the model achieves.

    loss, in nats a token; bits, the same in bits; perplexity; activity, of each layer; sparsity, of each layer's
    weights; macs, macs_of_inputs (those of them that folding an embedding saves) and macs_with_decoder, a token.
    """
    model.eval()
    state, losses, fires, read = None, [], [], []
    work = fan_outs(model)
    for x, y in zip(inputs.split(bptt), targets.split(bptt), strict=True):
        output = model(x, state)
        state = output.state
        losses.append(model.loss(output.y, y) * y.numel())
        fires.append(output.fires)
        read.append((output.outputs[-1][..., : len(work.decoder)] != 0).sum((0, 1)))
    tokens = targets.numel()
    loss = torch.stack(losses).double().sum().item() / tokens
    active = [torch.stack(layer).double().sum(0) / tokens for layer in zip(*fires, strict=True)]  # (H,), share of steps
    inputs_macs = work.inputs[inputs].double().mean().item()
    macs = inputs_macs + sum(float(share @ each.double()) for share, each in zip(active, work.layers, strict=True))
    decoder = float(torch.stack(read).double().sum(0) / tokens @ work.decoder.double())
    return {
        "loss": loss,
        "bits": loss / math.log(2),
        "perplexity": math.exp(min(loss, 700.0)),
        "activity": [layer.mean().item() for layer in active],
        "sparsity": [sparsity_of(prunable(layer, readout=False)) for layer in model.layers],
        "macs": macs,
        "macs_of_inputs": inputs_macs,
        "macs_with_decoder": macs + decoder,
    }


class FanOuts(NamedTuple):
    """Non-zero weights that each word's input (V,), each source (H,) of each layer and each of the decoder's costs."""

    inputs: Tensor
    layers: list[Tensor]
    decoder: Tensor


@torch.no_grad()
def fan_outs(model: LanguageModel) -> FanOuts:
    """Return what the activity of every source costs."""
    decoder = model.decoder_weight().count_nonzero(0)
    words = torch.zeros_like(model.readout.bias, dtype=torch.int64)
    if model.settings.cell == "transformer":
        return FanOuts(words, [layer.fan_out() for layer in model.layers], decoder)
    weights = [layer.weights() for layer in model.layers]
    layers = [recurrent.count_nonzero(1) for _, recurrent in weights]
    for below, (kernel, _) in zip(layers, weights[1:], strict=False):
        below += kernel.count_nonzero(1)
    rows = weights[0][0].count_nonzero(1)
    return FanOuts(rows if model.settings.characters else words + rows.sum(), layers, decoder)

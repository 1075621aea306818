"""What each source of a language model costs and does: its fan-out, its activity, and the MACs of every token.

Sources fall into groups, as in :mod:`golden.macs`: the features of the embedding, or the characters, then the units of
each layer; of a transformer, what each of its matrices reads. The product law says that MACs are the dense count times
the density of the weights times the activity; it holds as far as busy sources have no more weights than others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden.lm.measure import fan_outs
from golden.lm.model import LanguageModel

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Sources of one kind: fan_out and activity, float64 (sources,); dense is each one's fan-out without pruning."""

    name: str
    fan_out: Floats
    activity: Floats
    dense: int

    @property
    def counted(self) -> float:
        """MACs a token."""
        return float(self.fan_out @ self.activity)

    @property
    def product(self) -> float:
        """MACs a token by the product law."""
        return float(self.dense * len(self.fan_out) * self.density * self.activity.mean())

    @property
    def density(self) -> float:
        return float(self.fan_out.mean() / self.dense)

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation of the sources' activity with their fan-out; None if either is the same for all."""
        if np.ptp(self.fan_out) == 0 or np.ptp(self.activity) == 0:
            return None
        return float(np.corrcoef(self.fan_out, self.activity)[0, 1])


@dataclass(frozen=True)
class Work:
    """Groups, the decoder's last; MACs of every token, float64 (tokens,), of the layers and of the decoder."""

    groups: list[Group]
    macs: Floats
    decoder: Floats


def product_law(groups: list[Group]) -> dict[str, float]:
    """Return MACs a token of groups together: dense, counted, by the product of their densities, and how far off.

    ``deviation_by_group`` is how far the counted are off the sum of each group's own product.
    """
    dense = sum(group.dense * len(group.fan_out) for group in groups)
    weights = sum(group.fan_out.sum() for group in groups) / dense
    activity = sum(group.dense * group.activity.sum() for group in groups) / dense
    counted = sum(group.counted for group in groups)
    product = dense * weights * activity
    return {
        "dense": float(dense), "weight_density": float(weights), "activity": float(activity), "product": float(product),
        "counted": counted, "deviation": counted / product - 1,
        "deviation_by_group": counted / sum(group.product for group in groups) - 1,
    }  # fmt: skip


@torch.no_grad()
def work(model: LanguageModel, inputs: Tensor, bptt: int) -> Work:
    """Run over tokens (steps, B), the state carried from window to window, and count every token's work."""
    model.eval()
    costs = fan_outs(model)
    fans = [*costs.layers, costs.decoder]
    state, macs, active = None, [], [torch.zeros(len(fan), dtype=torch.float64, device=inputs.device) for fan in fans]
    for tokens in inputs.split(bptt):
        output = model(tokens, state)
        state = output.state
        # A transformer has one output more than layers, which the decoder reads; else it reads the last layer's.
        values = [*output.outputs[: len(costs.layers)], output.outputs[-1]]
        fires = [(y[..., : len(fan)] != 0).double() for y, fan in zip(values, fans, strict=True)]
        macs.append(torch.stack([fire @ fan.double() for fire, fan in zip(fires, fans, strict=True)]).flatten(1))
        for total, fire in zip(active, fires, strict=True):
            total += fire.sum((0, 1))
    counted = torch.cat(macs, dim=1).cpu().numpy()
    shares = [(total / inputs.numel()).cpu().numpy() for total in active]
    first = costs.inputs[inputs].flatten().cpu().numpy()
    frequency = inputs.flatten().bincount(minlength=len(costs.inputs)).double().cpu().numpy() / inputs.numel()
    return Work(_groups(model, frequency, shares), counted[:-1].sum(axis=0) + first, counted[-1])


def _groups(model: LanguageModel, frequency: Floats, shares: list[Floats]) -> list[Group]:
    """Return the groups, given each word's frequency, and the activity of each layer's sources and the decoder's."""
    costs, settings = fan_outs(model), model.settings
    fans = [fan.double().cpu().numpy() for fan in (*costs.layers, costs.decoder)]
    groups: list[Group] = []
    if settings.cell == "transformer":
        for l, (layer, fan, share) in enumerate(zip(model.layers, fans, shares, strict=False)):
            kernels = {name: getattr(layer, name).kernel for name in ("attend", "project", "expand", "contract")}
            cuts = np.cumsum([len(kernel) for kernel in kernels.values()])[:-1]
            for name, costs_of, active in zip(kernels, np.split(fan, cuts), np.split(share, cuts), strict=True):
                groups.append(Group(f"layer {l}, {name}", costs_of, active, kernels[name].shape[1]))
    else:
        widths = [layer.kernel.shape[1] for layer in model.layers]
        first = model.layers[0].weights()[0].count_nonzero(1).double().cpu().numpy()
        if settings.characters:
            groups.append(Group("characters", first, frequency, widths[0]))
        else:
            groups.append(Group("embedding", first, np.ones(len(first)), widths[0]))
        for l, (fan, share) in enumerate(zip(fans[:-1], shares[:-1], strict=True)):
            groups.append(Group(f"layer {l}", fan, share, sum(widths[l : l + 2])))
    return [*groups, Group("decoder", fans[-1], shares[-1], len(model.readout.bias))]

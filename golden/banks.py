"""Bank-balanced pruning: every source keeps as many weights in each of N banks, so that N lanes always have equal work.

The units of a layer are dealt to banks in turn, as :mod:`golden.lanes` deals units that are level: unit j, with its
weights of all gates, is in bank ``j % N``. Of every source's list the largest weight of each bank makes one group,
the second largest another, and so on; groups are pruned by their mean square, all lists and tensors together. So k
weights of a list stay in every bank (fewer where a bank has no k), with a k of its own for each list: some are long,
some short, as in pruning without banks, but each is level over the lanes.

Source: Cao et al., FPGA 2019 (bank-balanced sparsity: equal k for all rows), with groups ranked globally instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Masks = dict[str, Tensor]  #: bool, True where a weight stays


class _Groups(NamedTuple):
    """Weights of a tensor by group: rank, the place of each weight among those of its source and bank, largest first.

    rank : as the tensor; score, members : float and int64 (sources, ranks), mean square and count of each group.
    """

    rank: Tensor
    score: Tensor
    members: Tensor


def bank_balanced_masks(weights: Mapping[str, Tensor], sparsity: float, banks: int) -> Masks:
    """Choose the weights that stay; of all counts that whole groups make, that nearest to ``sparsity`` goes.

    Kernels are (sources, gates x units); a readout's weight is (outputs, sources), its banks those of the outputs.
    """
    groups = {name: _grouped(name, weights, banks) for name in weights}
    scores = torch.cat([group.score.flatten() for group in groups.values()])
    members = torch.cat([group.members.flatten() for group in groups.values()])
    order = scores.argsort(stable=True)
    gone = functional.pad(members[order].cumsum(0), (1, 0))  # weights that go with the first 0, 1, 2 ... groups
    wanted = round(sparsity * sum(weight.numel() for weight in weights.values()))
    stays = torch.ones_like(scores, dtype=torch.bool)
    stays[order[: int((gone - wanted).abs().argmin())]] = False
    masks = {}
    for (name, group), part in zip(
        groups.items(), stays.split([group.score.numel() for group in groups.values()]), strict=True
    ):
        mask = part.reshape(group.score.shape).gather(1, group.rank.flatten(1)).reshape(group.rank.shape)
        masks[name] = mask.t() if name == "readout.weight" else mask
    return masks


def _grouped(name: str, weights: Mapping[str, Tensor], banks: int) -> _Groups:
    matrix = weights[name].detach()
    matrix = matrix.t() if name == "readout.weight" else matrix
    recurrent = weights.get(f"{name.rpartition('.')[0]}.recurrent_kernel")
    units = matrix.shape[1] if recurrent is None else len(recurrent)
    sources, gates, share = len(matrix), matrix.shape[1] // units, -(-units // banks)
    size = matrix.square().reshape(sources, gates, units)
    # Places that fill up the last units of the banks come after all weights: they are smaller than any.
    filled = functional.pad(size, (0, share * banks - units), value=-1.0)
    lists = filled.reshape(sources, gates * share, banks)
    values, order = lists.sort(dim=1, descending=True, stable=True)  # (sources, ranks, banks)
    exists = values >= 0
    members = exists.sum(2)
    mean = torch.where(exists, values, 0).sum(2) / members
    score = mean.cummin(1).values  # falls, even to a last group with few members
    rank = order.argsort(dim=1).reshape(sources, gates, share * banks)[:, :, :units]
    return _Groups(rank.reshape(matrix.shape), score, members)

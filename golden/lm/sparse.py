"""Products on a processor that pass over weights and events that are zero: ``sparse.c``.

A batch of sequences shares its weights, so a pruned matrix is worth walking weight by weight, a vector of sequences at
a time. A unit is silent in most steps, so a gradient is the sum over the events of each source.
"""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from golden.lm.native import build

DENSITY_MAX = 0.25  #: of weights, and of events, beyond which a dense product is faster on one thread
BLOCK = 224  #: of sources: 32 sequences of each fit a first-level cache
LANES, ROWS = 16, 64  #: as in sparse.c
CACHE_LINE = 64  #: bytes


def pays(count: int, size: int) -> bool:
    """Return whether so few values that are not zero pay: products here run on one thread, dense ones on all."""
    return count <= DENSITY_MAX * size / torch.get_num_threads()


@functools.cache
def library() -> ctypes.CDLL:
    """Return the library, built if it is not there.

    Raises
    ------
    CompilerError
        If there is no compiler, or it fails.
    """
    loaded = build("sparse.c")
    size, array = ctypes.c_int64, ctypes.c_void_p
    loaded.count_values.argtypes = [size, array]
    loaded.sparse_structure.argtypes = [*[size] * 3, *[array] * 6]
    loaded.sparse_gather.argtypes = [size, *[array] * 3]
    loaded.sparse_product.argtypes = [*[size] * 4, array, size, *[array] * 6]
    loaded.list_events.argtypes = [size, size, *[array] * 4]
    loaded.event_gradient.argtypes = [*[size] * 3, *[array] * 4, size, array]
    loaded.sparse_gather.restype = loaded.count_values.restype = size
    for name in ("sparse_structure", "sparse_product", "list_events", "event_gradient"):
        getattr(loaded, name).restype = None
    return loaded


class SparseWeights:
    """The weights of a matrix (sources, targets) that are not zero, kept up to date as they change."""

    def __init__(self, sources: int, targets: int) -> None:
        self.sources, self.targets, self.block = sources, targets, min(BLOCK, sources)
        lists = -(-sources // self.block) * targets
        self.start = torch.zeros(lists + 1, dtype=torch.int64)
        self.target = torch.zeros(lists, dtype=torch.int32)
        self.index, self.position, self.weight = torch.zeros(0), torch.zeros(0), torch.zeros(0)
        rows = sum(-(-count // LANES) * LANES for count in (self.block, targets))
        scratch = torch.zeros(2 * LANES * rows + CACHE_LINE // 4)
        self.scratch = scratch[-scratch.data_ptr() % CACHE_LINE // 4 :]

    def take(self, weights: Tensor) -> bool:
        """Take over weights (sources, targets), contiguous float32; return whether they are sparse enough to pay."""
        loaded = library()
        count = loaded.count_values(weights.numel(), weights.data_ptr())
        if not pays(count, weights.numel()):
            return False
        if count == len(self.weight) and not self._gather(weights):
            return True  # the same ones as before
        self.index, self.position = torch.zeros(count, dtype=torch.int16), torch.zeros(count, dtype=torch.int32)
        self.weight = torch.zeros(count)
        counts = torch.empty(2 * self.targets + self.block + 2, dtype=torch.int64)
        arrays = (weights, self.start, self.target, self.index, self.position, counts)
        loaded.sparse_structure(self.sources, self.targets, self.block, *(array.data_ptr() for array in arrays))
        self._gather(weights)
        return True

    def _gather(self, weights: Tensor) -> int:
        arrays = (array.data_ptr() for array in (self.position, weights, self.weight))
        return int(library().sparse_gather(len(self.weight), *arrays))

    def product(self, x: Tensor, out: Tensor) -> None:
        """Write ``x weights`` of x (batch, sources), its rows contiguous, to out (batch, targets), contiguous."""
        arrays = (self.start, self.target, self.index, self.weight, out, self.scratch)
        library().sparse_product(
            len(x), self.sources, self.targets, self.block, x.data_ptr(), x.stride(0),
            *(array.data_ptr() for array in arrays),
        )  # fmt: skip


def gradient(x: Tensor, d: Tensor) -> Tensor:
    """Return ``x' d`` (sources, targets) of x (N, sources), contiguous, and d (N, targets), its rows contiguous."""
    events = library().count_values(x.numel(), x.data_ptr())
    if not pays(events, x.numel()):
        return x.t() @ d
    (count, sources), targets = x.shape, d.shape[1]
    result = torch.zeros(sources, targets)
    start = torch.empty(-(-count // ROWS) * sources + 1, dtype=torch.int64)
    row, value = torch.empty(events + 1, dtype=torch.uint8), torch.empty(events + 1)
    arrays = (start.data_ptr(), row.data_ptr(), value.data_ptr())
    library().list_events(count, sources, x.data_ptr(), *arrays)
    library().event_gradient(count, sources, targets, *arrays, d.data_ptr(), d.stride(0), result.data_ptr())
    return result

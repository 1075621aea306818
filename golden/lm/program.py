"""The loops over the steps of a stack of EGRU layers, forward and backward.

On CUDA all steps of all layers are captured in one graph for each direction. In it the layers run side by side: a layer
starts on a chunk of :data:`CHUNK` steps when the one below (above, on the way back) has done it, with that chunk's
product by W.

Reckoning for an H100, layers 750-1350-1350-750, batch 64, 70 steps: R is 11 MB in bf16, read from L2 (5 TB/s) in 2 us;
a product of 64 x 1360 x 4080 takes about 10 us as a graph node and fills half of the chip, the pointwise kernel takes
3 us. One layer after the other, 70 x 2.5 steps at 12 us forward and 16 us backward make 4.9 ms a window; side by side,
70 + 2 x 10 steps of the widest layer make 2.5 ms if nothing collides. The large products of a window (190 MFLOP a token
with the decoder) take 2 ms at 400 TFLOP/s; softmax, optimizer and dropout move some 5 GB, 2 ms. 207 windows of 64 x 70
tokens: 1.3 to 1.9 s an epoch of Penn Treebank. ``python -m golden.lm.benchmark`` measures it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from golden.lm.steps import Window, steps_of

CHUNK = 10  #: steps after which, in a graph, the layer above may start


class Program:
    """The windows of a stack of layers, and the loops over their steps, which CUDA captures as graphs."""

    def __init__(self, windows: Sequence[Window], name: str, chunk: int = CHUNK) -> None:
        self.windows = windows
        self.steps = [steps_of(name.partition("-")[0], window) for window in windows]
        self.graphed = name.endswith("-graph")
        self.graphs: tuple[torch.cuda.CUDAGraph, torch.cuda.CUDAGraph] | None = None
        self.uses = 0
        size = chunk if self.graphed else windows[0].steps
        self.chunks = [slice(start, start + size) for start in range(0, windows[0].steps, size)]

    def forward(self) -> None:
        """Compute everything up to y of the last layer, from x of the first and the states."""
        self.uses += 1
        if self.graphed and self.uses == 2:  # a shape that comes once is not worth a graph
            self.graphs = self._capture(self._forward), self._capture(self._backward)
        if self.graphs is None:
            self._forward()
        else:
            self.graphs[0].replay()

    def backward(self) -> None:
        """Compute d and dthreshold of all layers from dy of the last and dfires of each."""
        if self.graphs is None:
            self._backward()
        else:
            self.graphs[1].replay()

    def _forward(self) -> None:
        with Wavefront(len(self.windows), self.graphed) as wavefront:
            for chunk in self.chunks:
                for l in range(len(self.windows)):
                    with wavefront.layer(l, after=l - 1):
                        self._forward_chunk(l, chunk)

    def _forward_chunk(self, l: int, chunk: slice) -> None:
        window, steps = self.windows[l], self.steps[l]
        if l:
            torch.mul(self.windows[l - 1].y[1:][chunk], window.keep, out=window.x[chunk])
        torch.mm(window.x[chunk].flatten(0, 1), window.kernel, out=window.a[chunk].flatten(0, 1))
        for t in range(window.steps)[chunk]:
            steps.forward(t)

    def _backward(self) -> None:
        for window in self.windows:
            for buffer in (window.dy_back, window.dh, window.dthreshold):
                buffer.zero_()
        with Wavefront(len(self.windows), self.graphed) as wavefront:
            for chunk in reversed(self.chunks):
                for l in reversed(range(len(self.windows))):
                    with wavefront.layer(l, after=l + 1):
                        self._backward_chunk(l, chunk)

    def _backward_chunk(self, l: int, chunk: slice) -> None:
        window, steps = self.windows[l], self.steps[l]
        if l + 1 < len(self.windows):
            above = self.windows[l + 1]
            before = above.d[chunk].flatten(0, 1)[:, : 3 * above.units]
            torch.mm(before, above.kernel.t(), out=window.dy[chunk].flatten(0, 1))
            window.dy[chunk] *= above.keep
        for t in reversed(range(window.steps)[chunk]):
            steps.backward(t)

    @staticmethod
    def _capture(run: Callable[[], None]) -> torch.cuda.CUDAGraph:
        """Return ``run`` as a graph; it is run once before, so that kernels are compiled and libraries set up."""
        run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may wait for other processes
            run()
        return graph


@functools.cache
def layer_streams(layers: int) -> list[torch.cuda.Stream]:
    """Return the streams of layers, the same for all graphs, as each has a workspace of its own for products."""
    return [torch.cuda.Stream() for _ in range(layers)]


class Wavefront:
    """Streams on which layers run side by side, each behind the one it depends on; without CUDA, nothing.

    Chunk after chunk, each layer waits for what the layer it depends on was given last, and its own stream keeps its
    steps in order. Forks from the current stream and joins it at the end, as capturing a graph wants it.
    """

    def __init__(self, layers: int, on: bool) -> None:
        self.streams = layer_streams(layers) if on else []

    def __enter__(self) -> Wavefront:
        for stream in self.streams:
            stream.wait_stream(torch.cuda.current_stream())
        return self

    def layer(self, l: int, after: int) -> Any:
        """Return the context of a layer's stream, behind that of layer ``after`` if there is one."""
        if not self.streams:
            return nullcontext()
        if 0 <= after < len(self.streams):
            self.streams[l].wait_stream(self.streams[after])
        return torch.cuda.stream(self.streams[l])

    def __exit__(self, *error: object) -> None:
        for stream in self.streams:
            torch.cuda.current_stream().wait_stream(stream)

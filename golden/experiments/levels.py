"""Iterative pruning, as several experiments need it: train, then prune and fine-tune level after level."""

from __future__ import annotations

from golden.experiments.runner import Run, Runner

LEVELS = (0.2, 0.4, 0.6, 0.8, 0.85, 0.9, 0.95)
PAPER_LEVEL = 0.85


def dense(runner: Runner, cell: str = "egru") -> list[Run]:
    """Return the networks without pruning, one a seed."""
    return runner.each_seed(f"{cell}-dense", runner.settings(cell))


def pruned(runner: Runner, level: float, cell: str = "egru") -> list[Run]:
    """Return the networks of a level of :data:`LEVELS`, fine-tuned from those of the level before, one a seed."""
    runs = dense(runner, cell)
    for each in LEVELS[: LEVELS.index(level) + 1]:
        settings = runner.finetuned(runner.settings(cell), sparsity=each, prune_from=0.0, prune_to=0.0)
        runs = runner.each_seed(f"{cell}-{100 * each:.0f}", settings, runs)
    return runs


def all_levels(runner: Runner, cell: str = "egru") -> dict[float, list[Run]]:
    """Return the networks of all levels, those without pruning as level 0."""
    return {0.0: dense(runner, cell), **{level: pruned(runner, level, cell) for level in LEVELS}}

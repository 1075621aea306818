"""The event-driven datapath, in Amaranth: a core whose lanes walk the fan-out lists of active sources, and nothing else."""

"""The event-driven datapath, in Amaranth: lanes walk the fan-out lists of active sources, and nothing else."""

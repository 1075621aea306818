"""The benchmark: how many of its cycles a lane multiplies, on networks of stated sparsity and activity."""

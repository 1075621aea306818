"""The experiments behind the claims about sparsity, each a command: ``python -m golden.experiments NAME``."""

"""Event-based GRU language models: corpora, model, fast recurrence, training."""

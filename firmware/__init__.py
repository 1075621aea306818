"""The host's side of a core on a board."""

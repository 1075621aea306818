"""The parts of the cycle model, :mod:`sim.cycle_model`: recorded activity, its C++ library, and its command."""

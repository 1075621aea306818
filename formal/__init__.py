"""Proofs about the hardware, for all inputs: properties in Amaranth, checked with SymbiYosys."""

"""The core for devices of a few thousand logic cells: the same rooms, with what they share used in turns."""

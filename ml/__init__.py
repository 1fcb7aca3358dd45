"""The Python layer over the mart: load, label, split, select, serve."""

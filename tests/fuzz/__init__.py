"""Generated nonsense for every parser and for the importer: typed errors or rows, never anything else."""

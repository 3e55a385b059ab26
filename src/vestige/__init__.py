"""vestige: sequence models that find attacks in the traces they leave on a host."""

__version__ = "0.1.0"

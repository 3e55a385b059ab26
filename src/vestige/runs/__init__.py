"""What a run holds, and where: `RunDirectory` is the one owner of the files in a run's directory.

Importing this package imports nothing heavy: the command line reads the options of splitting and judging.
"""

"""Intel PT packets, decoded from raw bytes: as columns, as a listing, and with what was lost on the way.

Importing a module of this package imports Numba.
"""

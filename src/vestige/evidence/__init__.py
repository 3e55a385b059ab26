"""Bytes of evidence, safely: which files there are, unpacked in pieces, within limits."""

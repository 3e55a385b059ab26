"""Kinds of raw evidence, each behind the protocol in `base`."""

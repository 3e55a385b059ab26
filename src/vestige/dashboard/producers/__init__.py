"""Generators of events, each from one kind of thing: results, or evidence read again."""

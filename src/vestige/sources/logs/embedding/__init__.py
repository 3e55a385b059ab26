"""Vectors of log messages: hashed n-grams, a sentence model, or word vectors of one's own."""

"""`ngram`: a linear model on n-grams of tokens, on words, and on parts of words."""

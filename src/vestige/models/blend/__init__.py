"""`blend`: recordings seen whole, by a linear model on n-grams and by trees on pooled states of a recurrent
network that was never trained."""

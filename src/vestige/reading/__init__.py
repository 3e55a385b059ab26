"""From evidence to windows: steps, datasets, what is fitted before a model can read."""

"""Every labelled set at hand by every detector by the honest splits, as cells that are ordinary runs."""

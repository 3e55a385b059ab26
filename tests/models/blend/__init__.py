"""The members of `blend`, and the detector that they make."""

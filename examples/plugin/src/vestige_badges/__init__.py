"""An example of a plug-in for vestige: a source and a detector."""

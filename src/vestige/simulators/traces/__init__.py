"""A synthetic corpus of traces: programs that nobody wrote, run by a processor that there is not."""

"""Windows event logs as Windows writes them (`.evtx`): chunks, and records of binary XML in them."""

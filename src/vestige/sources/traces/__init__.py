"""Intel PT traces: raw packets, memory maps, and what a program recording comes to."""

"""Intel PT traces: raw packets, memory maps, and what a program run comes to."""

"""A believable corpus of logs, written in a real format, with planted anomalies. All sentences are invented.

Hosts of two or three roles keep several logs each. Sessions (logins, requests, transactions, jobs) run as
state machines and interleave; noise, rare but normal messages, and new software releases lie between them.
Planted are *point* anomalies (a message that should not be there) and *collective* ones, whose every line
is normal by itself while their order, number or pace is not.
"""

from vestige.simulators.logs.options import SimulateOptions
from vestige.simulators.logs.write import simulate

__all__ = ["SimulateOptions", "simulate"]

"""Believable synthetic corpora with planted anomalies. No reader imports this package.

simulators/NAME/options.py    SimulateOptions: every field becomes an option of `vestige simulate NAME`
simulators/NAME/write.py      simulate(out, options, *, overwrite) -> what was planted
"""

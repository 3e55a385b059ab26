"""How much to believe a detector: metrics with intervals, a threshold, an audit, a report."""

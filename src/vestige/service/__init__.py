"""A detector at work: evidence followed as it grows, alerts sent where people look."""

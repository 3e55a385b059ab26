"""Security events as SIEMs export them, and labelled sequences of events."""

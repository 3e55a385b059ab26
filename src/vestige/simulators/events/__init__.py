"""A believable export of a SIEM, with campaigns planted in it: `write.simulate`."""

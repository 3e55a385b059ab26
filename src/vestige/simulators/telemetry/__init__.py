"""A believable receiver store with faults planted in known numbers: `write.simulate`."""

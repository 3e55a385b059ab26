"""An audit of anybody's tables: which leaks and shortcuts a training and a test table alone can tell."""

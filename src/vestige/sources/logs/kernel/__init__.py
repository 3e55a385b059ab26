"""From the bytes of a block to its messages, fast: expressions as programs, and a kernel that runs them."""

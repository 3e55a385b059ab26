"""What `perf record` leaves: a perf.data file as recordings of the processes in it."""

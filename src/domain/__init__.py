"""Values and decisions of the payment lifecycle: standard library only, no I/O, no clock, no randomness."""

"""Pure decisions: standard library only; no I/O, clock, environment or randomness."""

"""One file per verb: read, ask the domain, journal, act, read back, record."""

"""Versioned assets and every way to name one; knows no HTTP."""

"""What the emulator remembers and runs; knows nothing of HTTP."""

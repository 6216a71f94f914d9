"""Azure ML on loopback; imports nothing else of taxiops, and no azure package."""

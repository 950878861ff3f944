"""The whole story, played against a real server on loopback: `make demo`."""

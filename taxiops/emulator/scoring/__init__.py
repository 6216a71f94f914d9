"""The proxy in front of all scoring servers: connections, routing by weight, limits."""

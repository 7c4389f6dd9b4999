"""Adapters, named for their technology. They implement the ports, or drive the use cases; never one another."""

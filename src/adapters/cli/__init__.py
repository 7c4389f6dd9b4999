"""The command line: a driving adapter over the table of use cases."""

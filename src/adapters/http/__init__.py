"""The HTTP face: Litestar routes over the table of use cases."""

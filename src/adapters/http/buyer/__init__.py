"""The buyer's room: the shop page, products, one's own order and its events."""

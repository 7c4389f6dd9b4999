"""Who rings the followers of an order."""

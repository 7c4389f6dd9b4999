"""Who notifies the followers of an order."""

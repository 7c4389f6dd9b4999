"""The fake over HTTP: PortOne's REST API, the payment window, the control API, and a page to watch all of it."""

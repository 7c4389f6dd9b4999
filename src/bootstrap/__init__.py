"""The composition root: settings, container, logs, and how processes start and stop. Knows everybody."""

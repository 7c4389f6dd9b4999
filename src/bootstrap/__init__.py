"""The composition root: settings, container, logging, application factory, command line. Knows everybody."""

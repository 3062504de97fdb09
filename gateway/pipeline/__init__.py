"""A request's life, read top to bottom: authenticate, route, admit, schedule, execute, respond."""

"""Live runs against the simulated exchange, and what they must leave behind."""

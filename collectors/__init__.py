"""From the exchange, its archive and recorded files to the raw tables."""

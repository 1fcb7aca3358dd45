"""The command line, the settings, the connections and the embedded servers: wiring only."""

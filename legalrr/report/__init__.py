"""Tables and figure of one run, one sweep, or several sweeps together."""

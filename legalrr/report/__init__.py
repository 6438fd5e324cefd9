"""Tables, figures and HTML page of runs and sweeps."""

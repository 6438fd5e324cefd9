"""A leakage probe that reads: a backbone is shown parts of what an experiment shows, and names the outcome."""

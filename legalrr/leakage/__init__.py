"""Probe for leakage: a backbone predicts the outcome from parts of what an experiment shows."""

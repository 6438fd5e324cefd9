"""Predictors: turns over a backbone, and the baselines through the same door."""

"""Gated KalmaNet: a sequence layer that solves a ridge regression over all the past at each token (arXiv 2511.21016).

The package stands on its own: it may be imported by `legalrr.backbones`, and imports nothing from legalrr.
"""

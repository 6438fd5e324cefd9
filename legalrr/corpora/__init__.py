"""Corpus readers, one per published layout, and the command `legalrr data`, which fetches and checks corpora."""

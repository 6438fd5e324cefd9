"""Readers of judgments, one per published layout, and `legalrr data`, which fetches and checks them."""

"""Audit of published tables: find the confusion matrices that give printed rates, and recompute the rates from them."""

"""Audit of published tables: which confusion matrices can lie behind printed rates, and what the rates then are."""

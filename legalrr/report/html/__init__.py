"""Render `report.html`: results, effects, errors, and every judgment with its conversations."""

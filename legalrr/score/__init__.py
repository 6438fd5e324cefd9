"""Scores of predictions, and what they can show: intervals, paired comparisons, corrections for many of them."""

"""Rhetorical roles of judgments: gold spans, trained taggers, sentences, and what reads like a verdict."""

"""Taggers of rhetorical roles: gold spans, CRF, neural and LLM taggers, their training and evaluation."""

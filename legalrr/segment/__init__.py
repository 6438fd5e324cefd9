"""Taggers of rhetorical roles: gold spans, CRF, neural, adapted and LLM taggers, their training and evaluation."""

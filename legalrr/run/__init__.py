"""Run an experiment: build the stages, prefetch shared calls, run each cell, write its folder."""

"""Priming: new Gated KalmaNet layers learn what the attention did in whose place they are."""

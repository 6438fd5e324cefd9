"""Train hybrids of attention and Gated KalmaNet layers (`legalrr prime`)."""

"""Models some of whose layers are Gated KalmaNet (`kernels/gated_kalmanet`): released ones, and any made so."""

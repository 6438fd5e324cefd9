"""Run a model of the transformers library: weights, prefix cache, prefill, decoding, Gated KalmaNet layers."""

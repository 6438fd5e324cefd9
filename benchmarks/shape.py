"""Model shape of SmolLM2-135M, for benchmarks that do not depend on its weights."""

from transformers import LlamaConfig


def smollm2(context: int) -> LlamaConfig:
    """Return the configuration of SmolLM2-135M with a context length."""
    return LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=context,
        tie_word_embeddings=True,
    )

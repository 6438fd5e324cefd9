"""Turn a document into a prompt: one template with switches (D define, C chain, direct, layout)."""

"""From document to prompt: one template with switches (D define, C chain, direct, layout)."""

"""Hide text that reveals the outcome: decisive roles, verdicts under other roles, headnotes, repeated sentences."""

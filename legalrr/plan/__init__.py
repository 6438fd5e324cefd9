"""Plan an experiment without its model: calls, tokens, memory, time, money, power, and the prompts themselves."""

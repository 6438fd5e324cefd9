"""The backbone behind a server with OpenAI's interface: stage and prices, engine, replies and errors, token counts."""

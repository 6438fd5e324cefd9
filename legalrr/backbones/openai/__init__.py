"""Backbone for a server with OpenAI's API: stage and prices, engine, replies and errors, token counting."""

"""Measuring a backbone by itself, whatever it is asked: how well it reads, and what that costs."""

"""Write `report.html`: results, effects, errors, and every judgment with its conversation."""

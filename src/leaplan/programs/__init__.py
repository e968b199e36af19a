"""LEAP's action programs: a language for them, made from evidence, checked, encoded. No torch."""

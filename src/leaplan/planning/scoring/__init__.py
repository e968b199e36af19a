"""Anybody's predictions of plans, read and scored."""

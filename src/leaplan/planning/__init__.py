"""PlanLLM: from two observations to a plan."""

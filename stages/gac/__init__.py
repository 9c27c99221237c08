"""Global answer correctness: rollouts from a query with one passage to the answer (step B5)."""

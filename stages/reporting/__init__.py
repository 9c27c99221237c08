"""From metrics and predictions to one page: figures, comparisons, health, cases, plots."""

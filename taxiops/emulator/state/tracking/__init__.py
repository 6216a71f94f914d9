"""What MLflow is told: runs, what they log, and how they are searched."""

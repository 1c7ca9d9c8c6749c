"""Many trials: studies, the runner, the ledger, MLflow, and the command."""

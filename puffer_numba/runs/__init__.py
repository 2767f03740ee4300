"""What a run leaves behind and shows: checkpoints, its folder, logs, the dashboard, learning curves, evaluation."""

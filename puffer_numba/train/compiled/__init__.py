"""Learning from minibatches as compiled code, for the networks of most runs on a CPU; docs/compiled_learner.md."""

"""Images and text of the suite: `render_env` and `ansi_env` of the environment of the same name."""

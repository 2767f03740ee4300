"""Images of environments: a canvas to draw on, a window to show frames in, play by keyboard."""

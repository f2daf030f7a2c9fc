"""Writing a task from Python."""

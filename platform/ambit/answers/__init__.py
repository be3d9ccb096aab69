"""Flow 2: question → who may see what → retrieve → prompt → generate → cite."""

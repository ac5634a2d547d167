"""What goes wrong around the harness: what the user sees, the exit code, that nothing recorded is lost, nothing stays alive."""

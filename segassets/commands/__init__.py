"""What the commands do. `cli` only reads their arguments and prints what they return."""

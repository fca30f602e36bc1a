"""Component types of families of alike datasets: one YAML file makes a dataset, without Python."""

"""Jobs, schedules, sensors: what makes runs without a person."""

"""Jobs, schedules, sensors: what makes runs without a person. Everything here is off until somebody switches it on."""

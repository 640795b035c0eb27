"""Objects and records that change: decided, erased, masked, swept, and what stays and why."""

"""Who may send leads, for whom, under which rules and with which keys."""

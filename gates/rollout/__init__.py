"""The blue-green state machine: plan, journal, machine. It does no input or output of its own."""

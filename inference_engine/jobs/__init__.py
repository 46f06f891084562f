"""The job: its message, its record, its attempts, and the store that keeps its states."""

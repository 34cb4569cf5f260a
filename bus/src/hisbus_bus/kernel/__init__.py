"""What every step and every other room stands on: topics, log, database, tables, and what is kept for all."""

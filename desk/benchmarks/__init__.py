"""What `manage.py benchmark` measures: always beside something else, in one run, on a database of its own."""

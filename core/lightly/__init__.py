"""Everything that knows Lightly: names, schema, prediction files, its rules, the task folder."""

"""What people read of a run: a terminal table and one self-contained HTML page, made from the record alone."""

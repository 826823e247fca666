"""A method's code and what holds it: its process, what it may read, what is asked of it, what it was refused."""

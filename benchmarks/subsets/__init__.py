"""One file for each question. Its docstring is the title and what is measured; ``rows`` measures.

A file may have ``summary``, what is said under the table, and ``figure``, which draws the rows.
"""

"""Design spaces in arrays: candidates by the million, populations, and what is known of a space.

The one place of the compiler that imports numpy; the verbs that need it import it from here.
"""

"""What everything else stands on: errors, text, files, process identity. Imports the standard
library only.
"""

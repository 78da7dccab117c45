"""What a call of git does to branches and files."""

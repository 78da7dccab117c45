"""How Octet starts: its virtual environment, and processes detached from their starter."""

"""What `octet init` writes into a repository, and takes back."""

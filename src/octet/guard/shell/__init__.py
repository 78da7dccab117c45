"""A shell command as text: words, redirects, wrappers, and the files its programs write."""

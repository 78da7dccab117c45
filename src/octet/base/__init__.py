"""What every other package uses: errors, words, text, files, processes. Standard library only."""

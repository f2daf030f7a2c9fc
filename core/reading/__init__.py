"""What several adapters share: text files, images, colours of labels."""

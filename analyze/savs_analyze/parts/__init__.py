"""What a method on heads is made of: transform, criterion, selection."""

"""What one task's heads say of another, and what one head sees: numbers, from stores."""

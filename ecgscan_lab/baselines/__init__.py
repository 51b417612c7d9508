"""What a pretrained encoder must beat: raw pixels, and the same tower trained with labels."""

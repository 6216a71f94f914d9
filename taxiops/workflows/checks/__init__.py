"""What a diagnosis looks at; changes nothing."""

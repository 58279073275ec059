"""What the panel's calls are asked with and what they answer, a module a subject. The OpenAPI source of truth."""

"""What runs inside pipeline components and scoring servers; sees only domain and errors."""

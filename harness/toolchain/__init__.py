"""What is built or fetched once and cached outside the repository: control plane, Go, directories injected into subjects."""

"""Where Kubernetes comes from."""

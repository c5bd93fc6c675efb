"""Networks, registry, weights and their manifests."""

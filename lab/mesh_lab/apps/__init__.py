"""Sample microservices and the traffic client: small programs that every cluster runs as pods, whatever its mesh."""

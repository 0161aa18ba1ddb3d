"""The admission webhooks: pods get their proxies, and Istio's resources are checked before they are stored."""

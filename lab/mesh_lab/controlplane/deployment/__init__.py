"""What the control plane itself deploys: the gateways that the Gateway API's Gateways ask for."""

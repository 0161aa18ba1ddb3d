"""Bookinfo under load: people who read the page, sign in, and programs that ask the API."""

from __future__ import annotations

import re

from locust import FastHttpUser, between, task
from meshload import count_version

# Both pages, the published one and the lab's, name the pod that gave the reviews.
REVIEWS_POD = re.compile(r"\breviews-(v\d+)-")


class Reader(FastHttpUser):
    """Reads the page again and again; now and then signs in, or asks the API."""

    wait_time = between(0.1, 0.5)
    connection_timeout = 5.0
    network_timeout = 10.0

    @task(6)
    def product_page(self) -> None:
        """Read the page; it is a failure when details or reviews are missing."""
        with self.client.get("/productpage", catch_response=True) as response:
            if response.status_code == 200 and "Error fetching product" in (response.text or ""):
                response.failure("the page came without its details or reviews")
            _count(response.text or "")

    @task(2)
    def reviews(self) -> None:
        """Ask the API for a product's reviews."""
        with self.client.get("/api/v1/products/0/reviews", catch_response=True) as response:
            _count(response.text or "")

    @task(1)
    def products(self) -> None:
        """Ask the API for the products."""
        self.client.get("/api/v1/products")

    @task(1)
    def sign_in(self) -> None:
        """Sign in."""
        self.client.post("/login", data={"username": "reader"}, allow_redirects=False)


def _count(text: str) -> None:
    if found := REVIEWS_POD.search(text):
        count_version(found.group(1))

"""The search engines behind the `Engine` contract, one module for each kind."""

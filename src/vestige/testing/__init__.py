"""Public contracts: what every detector and every source must hold, checked on real runs."""

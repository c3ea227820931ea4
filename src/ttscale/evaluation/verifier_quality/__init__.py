"""How good a verifier is: pair accuracy, calibration, what it adds to a vote."""

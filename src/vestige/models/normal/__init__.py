"""What is normal, learnt without labels: looks at a window, and how strange each finds it."""

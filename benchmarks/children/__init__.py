"""What is measured of ours, each as a process of its own."""

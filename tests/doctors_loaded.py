"""What a doctor imports, imported once in the process that forks them."""

import switchcast.app.cli
import switchcast.app.doctor.examine

__all__ = ["switchcast"]

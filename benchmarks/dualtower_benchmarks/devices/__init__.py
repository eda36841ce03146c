"""What a load took of the machine: power, energy, utilisation, CPU time; null: not readable."""

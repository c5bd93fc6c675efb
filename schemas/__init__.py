"""What things are: labels, tables, settings, reasons."""

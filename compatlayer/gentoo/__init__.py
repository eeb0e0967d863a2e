"""Everything that asks Portage, or reads what Portage wrote."""

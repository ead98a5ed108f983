"""The night's job: tag what is new, report the logical date and those that were missed or changed, publish, tidy up."""

"""Reports: tables and one page that say what was found in the documents of some days. `make.make_report` makes one."""

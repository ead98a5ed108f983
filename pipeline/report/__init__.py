"""Reports: tables and one page that say what was found in the documents of some days. `build.make_report` makes one."""

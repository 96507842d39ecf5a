"""A report as a page that people open, print and send: `page.render` puts the parts together, one file each."""

"""The pages, one file a part of the site: what is asked of the server, and which template shows it."""

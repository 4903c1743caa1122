"""A project that uses nothing of ours but the crawl command and the run extension; copied for each test."""

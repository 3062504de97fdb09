"""What operators see: the metrics page now; the admin API and the dashboard are to follow."""

"""The admin panel under ``/_gate/admin``: views, queries and templates."""
